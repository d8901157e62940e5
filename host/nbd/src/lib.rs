//! An NBD server over any block device: fixed newstyle, structured replies.
