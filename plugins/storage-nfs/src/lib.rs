//! Volumes as image files on an NFS server, over streams that the host connects.
