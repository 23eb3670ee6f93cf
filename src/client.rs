//! Who asks, as far as someone else vouches for it. Who may see what is not decided here.

pub mod xfcc;
