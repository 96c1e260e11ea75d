//go:build !unix

package popfetch

import "os"

const noFollow = 0

// tryLock does nothing where there is no flock.
func tryLock(*os.File) (bool, error) { return true, nil }

// syncDir does nothing: such systems cannot sync a directory.
func syncDir(*os.File) error { return nil }
