//go:build !unix

package server

import "os"

// tryLockFile does nothing where there is no flock.
func tryLockFile(*os.File) (bool, error) { return true, nil }

// syncOpenDir does nothing: such systems cannot sync a directory.
func syncOpenDir(*os.File) error { return nil }
