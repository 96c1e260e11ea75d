package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Put stores messages in the user's INBOX, in their order, by way of the file system
// and without any of our engines. A message is in wire form.
func (d *DovecotServer) Put(t testing.TB, u User, messages ...[]byte) {
	t.Helper()
	for _, name := range []string{"", "tmp", "new", "cur"} {
		dir := filepath.Join(d.Maildir(u), name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, d.owner.uid, d.owner.gid); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range messages {
		d.mu.Lock()
		d.files++
		// Dovecot numbers new files in the order of their names.
		name := fmt.Sprintf("%d.M%09d.put", time.Now().Unix(), d.files)
		d.mu.Unlock()
		path := filepath.Join(d.Maildir(u), "tmp", name)
		if err := os.WriteFile(path, m, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, d.owner.uid, d.owner.gid); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path, filepath.Join(d.Maildir(u), "new", name)); err != nil {
			t.Fatal(err)
		}
	}
}
