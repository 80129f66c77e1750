//! What several themes share.

use natgw_tests::prog_run::Row;

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const GRE: u8 = 47;
pub(crate) const ESP: u8 = 50;
pub(crate) const SCTP: u8 = 132;

/// Every table of the layer.
pub(crate) fn all_rows() -> Vec<Row> {
    [
        crate::dnat::rows(),
        crate::fip::rows(),
        crate::hairpin::rows(),
        crate::icmp::rows(),
        crate::malformed::rows(),
        crate::mtu::rows(),
        crate::pass::rows(),
        crate::sessions::rows(),
        crate::snat::rows(),
        crate::sweep::rows(),
    ]
    .concat()
}
