package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncWhole makes the file system of f durable. An error of any write since f was
// opened is reported, if canSyncWhole says that it can be relied on.
func syncWhole(f *os.File) error {
	for {
		err := unix.Syncfs(int(f.Fd()))
		if err != unix.EINTR {
			return os.NewSyscallError("syncfs", err)
		}
	}
}

// startWriting has the system begin to write a file to the disk, so that there is less
// to wait for later. That it is on its way says nothing: an error shows in the sync.
func startWriting(f *os.File) {
	_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
}

// topDir is EXT4_TOPDIR_FL (linux/ext4.h).
const topDir = 0x00020000

// spreadDirs has ext4 put new directories of dir where there is most room, and with
// them the files that are made there. It puts them near dir else, where it looks at
// every file that was removed in the last minute before it makes a new one
// (recently_deleted in fs/ext4/ialloc.c): that takes longer than all the rest.
func spreadDirs(dir *os.File) {
	var fs unix.Statfs_t
	if unix.Fstatfs(int(dir.Fd()), &fs) != nil || uint32(fs.Type) != unix.EXT4_SUPER_MAGIC {
		return
	}
	flags, err := unix.IoctlGetUint32(int(dir.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil && flags&topDir == 0 {
		_ = unix.IoctlSetPointerInt(int(dir.Fd()), unix.FS_IOC_SETFLAGS, int(flags|topDir)) // it is for speed only
	}
}

// canSyncWhole reports whether syncfs does for f what fsync does for each file. It
// tells of write errors since Linux 5.8 only; and layered, network and user space
// file systems do not all pass it on (syncfs(2), BUGS and NOTES).
func canSyncWhole(f *os.File) bool {
	var name unix.Utsname
	var fs unix.Statfs_t
	if unix.Uname(&name) != nil || !since58(unix.ByteSliceToString(name.Release[:])) || unix.Fstatfs(int(f.Fd()), &fs) != nil {
		return false
	}
	switch uint32(fs.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		return true
	}
	return false
}

// since58 reports whether a release of Linux is 5.8 or later.
func since58(release string) bool {
	major, rest := leadingNumber(release)
	if len(rest) < 2 || rest[0] != '.' {
		return false
	}
	minor, _ := leadingNumber(rest[1:])
	return major > 5 || major == 5 && minor >= 8
}

// leadingNumber reads the digits that s begins with.
func leadingNumber(s string) (n int, rest string) {
	for s != "" && s[0] >= '0' && s[0] <= '9' && n < 1000 {
		n = 10*n + int(s[0]-'0')
		s = s[1:]
	}
	return n, s
}
