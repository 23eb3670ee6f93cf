//! Configurations that would start a server which cannot work, or which works in another way than
//! its operator believes: the program rejects them or warns.

mod names;
