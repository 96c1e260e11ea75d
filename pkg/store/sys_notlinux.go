//go:build !linux

package store

import (
	"errors"
	"os"
)

// canSyncWhole reports that files are to be synced one by one.
func canSyncWhole(*os.File) bool { return false }

func syncWhole(*os.File) error { return errors.ErrUnsupported }
