//! Recovers identities of enum constants from the hashes of a payload.
//!
//! The hash of a struct is `a + c·x`, where `x` is the identity of any one constant in it:
//! identities are only added and multiplied by powers of 31. If only one identity is unknown,
//! hashing with two trial values gives `a` and `c`, and if `c` is odd, the cached hash gives `x`.
//! For the tag of a union, `c` is 31.

use super::identity::IdentityHashes;
use super::jvm::{Jvm, Unhashable};
use super::visit::{Hashed, Site, Visitor};
use crate::Release;

/// The most walks. A walk is repeated while it finds identities, since one may be needed to solve
/// for another that comes before it.
const ROUNDS: usize = 8;

/// Solves for the unknown identity at each struct that has only one.
pub(crate) struct Solve {
    jvm: Jvm,
    learned: bool,
}

impl Visitor for Solve {
    fn visit(&mut self, node: &dyn Hashed, _: &Site<'_>) {
        let cached = node.cached().get();
        if cached == 0 {
            return;
        }
        let Err(Unhashable::UnknownIdentity(constant)) = node.afresh(&self.jvm) else {
            return;
        };
        let mut with = |identity| {
            self.jvm.set_identity(&constant, Some(identity));
            node.afresh(&self.jvm)
        };
        let identity = match (with(0), with(1)) {
            (Ok(at_0), Ok(at_1)) => solve(cached.wrapping_sub(at_0), at_1.wrapping_sub(at_0)),
            // Another identity is unknown too.
            _ => None,
        };
        self.jvm.set_identity(&constant, identity);
        self.learned |= identity.is_some();
    }
}

/// The `x` with `factor · x = product` modulo 2³²; it exists for every odd factor.
fn solve(product: i32, factor: i32) -> Option<i32> {
    if factor & 1 == 0 {
        return None;
    }
    // Newton's method doubles the number of correct bits with each step; an odd number is its own
    // inverse in the lowest three bits.
    let inverse = (0..4).fold(factor, |inverse, _| {
        inverse.wrapping_mul(2i32.wrapping_sub(factor.wrapping_mul(inverse)))
    });
    Some(product.wrapping_mul(inverse))
}

/// The JVM of `release` with the identities that the hashes of a payload determine; `walk` walks
/// through the payload with a visitor.
pub(crate) fn recover_in(release: Release, walk: impl Fn(&mut Solve)) -> Jvm {
    let mut solve = Solve {
        jvm: Jvm::new(release, IdentityHashes::empty()),
        learned: false,
    };
    for _ in 0..ROUNDS {
        walk(&mut solve);
        if !std::mem::take(&mut solve.learned) {
            break;
        }
    }
    solve.jvm
}

#[cfg(test)]
mod tests {
    use super::solve;

    #[test]
    fn an_odd_factor_can_be_divided_by_and_an_even_one_cannot() {
        for factor in [1, -1, 31, 961, 29_791, i32::MAX, -1_819_348_377] {
            for x in [0, 1, -1, 478_677_926, i32::MIN, i32::MAX] {
                assert_eq!(solve(factor.wrapping_mul(x), factor), Some(x));
            }
        }
        assert_eq!(solve(4, 2), None);
    }
}
