//go:build !unix

package store

import "os"

const (
	noFollow = 0
	nonBlock = 0
)

// tryLock does nothing where there is no flock.
func tryLock(*os.File) (bool, error) { return true, nil }

func unlock(*os.File) error { return nil }

// syncDir does nothing: such systems cannot sync a directory.
func syncDir(*os.File) error { return nil }
