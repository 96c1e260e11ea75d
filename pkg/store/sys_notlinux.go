//go:build !linux

package store

import (
	"errors"
	"os"
)

// canSyncWhole reports that files are to be synced one by one.
func canSyncWhole(*os.File) bool { return false }

// startWriting leaves it to the system when it writes.
func startWriting(*os.File) {}

// spreadDirs does nothing.
func spreadDirs(*os.File) {}

func syncWhole(*os.File) error { return errors.ErrUnsupported }
