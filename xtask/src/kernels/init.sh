#!/bin/busybox sh
# The guest's first process: mounts the host's files with memory above them, runs the tests, and powers off.
# What is written to ttyS1 is what the host reads; ttyS0 is the kernel's own console.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
$b stty -F /dev/ttyS1 raw -echo
for module in $($b cat /modules/order); do
    $b insmod "/modules/$module" || echo "the guest cannot load $module" >/dev/ttyS1
done
$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose host /host
$b mount -t tmpfs -o size=1g memory /memory
$b mkdir /memory/upper /memory/work
$b mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work root /root
$b mount -t proc proc /root/proc
$b mount -t sysfs sys /root/sys
$b mount -t bpf bpf /root/sys/fs/bpf
$b mount -t devtmpfs dev /root/dev
$b mkdir -p /root/dev/pts /root/dev/shm
$b mount -t devpts pts /root/dev/pts
$b mount -t tmpfs shm /root/dev/shm
$b mount -t tmpfs run /root/run
$b mount -t tmpfs tmp /root/tmp
# The host's modules are those of another kernel. modprobe, which the kernel itself calls, finds ours here.
$b mkdir -p /root/usr/lib/modules
$b mount -o bind "/host$($b cat /modules/dir)" /root/usr/lib/modules
$b cp /job /root/tmp/job
# switch_root, not chroot: the kernel's own helper processes start from the first process's root.
exec $b switch_root /root /bin/sh -c '/bin/sh /tmp/job >/dev/ttyS1 2>&1; echo o >/proc/sysrq-trigger; while :; do sleep 1; done'
