//! One file a law, under its name.

mod p1;
mod p10;
mod p11;
mod p12;
mod p13;
mod p14;
mod p15;
mod p2;
mod p3;
mod p4;
mod p5;
mod p6;
mod p7;
mod p8;
mod p9;
mod pr1;
mod pr2;
mod pr3;
mod pr4;
mod pr5;
mod pr6;
mod pr7;
mod ty1;
mod ty2;
mod ty3;
mod ty4;
mod ty5;

use crate::index::Index;
use crate::law::{Found, Law};

type Check = for<'a> fn(&Index<'a>) -> Vec<Found>;

pub(crate) const ALL: &[(Law, Check)] = &[
    (Law::P1, p1::check),
    (Law::P2, p2::check),
    (Law::P3, p3::check),
    (Law::P4, p4::check),
    (Law::P5, p5::check),
    (Law::P6, p6::check),
    (Law::P7, p7::check),
    (Law::P8, p8::check),
    (Law::P9, p9::check),
    (Law::P10, p10::check),
    (Law::P11, p11::check),
    (Law::P12, p12::check),
    (Law::P13, p13::check),
    (Law::P14, p14::check),
    (Law::P15, p15::check),
    (Law::PR1, pr1::check),
    (Law::PR2, pr2::check),
    (Law::PR3, pr3::check),
    (Law::PR4, pr4::check),
    (Law::PR5, pr5::check),
    (Law::PR6, pr6::check),
    (Law::PR7, pr7::check),
    (Law::TY1, ty1::check),
    (Law::TY2, ty2::check),
    (Law::TY3, ty3::check),
    (Law::TY4, ty4::check),
    (Law::TY5, ty5::check),
];

const MS: u64 = 1_000;
const SECOND: u64 = 1_000 * MS;
