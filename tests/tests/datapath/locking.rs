//! One writer per gateway.

use std::{sync::mpsc, thread, time::Duration};

use natgw_userspace::datapath::{Lock, detach};

use crate::{
    child::{Child, Role},
    rig::Rig,
};

#[test]
fn a_second_process_learns_who_holds_the_lock() {
    let rig = Rig::new();
    let child = Child::start(&rig, Role::Hold);
    child.wait_ready();
    let holder = Lock::try_acquire(&rig.paths).unwrap().unwrap_err();
    assert_eq!(holder.pid, Some(child.pid()));
    assert!(holder.command.as_deref().unwrap_or_default().contains("child::runs_what_it_is_told"), "{holder}");
    assert_eq!(Lock::holder(&rig.paths), Some(holder));
    drop(child);
    assert_eq!(Lock::holder(&rig.paths), None);
    drop(rig.lock());
}

#[test]
fn a_waiter_gets_the_lock_when_the_holder_is_killed() {
    let rig = Rig::new();
    let child = Child::start(&rig, Role::Hold);
    child.wait_ready();
    let (sender, receiver) = mpsc::channel();
    let paths = rig.paths.clone();
    let waiter = thread::spawn(move || sender.send(Lock::acquire_blocking(&paths).map(drop)));
    assert!(receiver.recv_timeout(Duration::from_millis(100)).is_err(), "it must wait");
    drop(child);
    receiver.recv_timeout(Duration::from_secs(1)).unwrap().unwrap();
    waiter.join().unwrap().unwrap();
}

#[test]
fn who_waited_through_a_detach_holds_the_new_directory() {
    let rig = Rig::new();
    let lock = rig.lock();
    let (sender, receiver) = mpsc::channel();
    let paths = rig.paths.clone();
    let waiter = thread::spawn(move || sender.send(Lock::acquire_blocking(&paths)));
    assert!(receiver.recv_timeout(Duration::from_millis(100)).is_err(), "it must wait");
    rig.ns.run(|| detach(&rig.paths, lock)).unwrap();
    let lock = receiver.recv_timeout(Duration::from_secs(1)).unwrap().unwrap();
    waiter.join().unwrap().unwrap();
    assert!(Lock::try_acquire(&rig.paths).unwrap().is_err(), "the lock is on the directory that is there now");
    drop(lock);
}
