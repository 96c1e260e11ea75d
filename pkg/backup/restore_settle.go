package backup

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/imap"
)

// restoringFile is there while a restore is under way, and stays if it does not come
// to its end.
const restoringFile = metaDir + "/restoring"

const (
	defaultSettle = time.Second
	maxSettle     = time.Minute
)

// begin notes that a restore is under way. It reports whether an earlier one may not
// have come to its end.
func (rs *restorer) begin() (interrupted bool) {
	f, err := rs.r.root.OpenFile(restoringFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return true // it is there, or nothing can be written here
	}
	return f.Close() != nil
}

// end takes the note back.
func (rs *restorer) end() { _ = rs.r.root.Remove(restoringFile) } // else the next one waits in vain

// settleAll waits until the mailboxes of the account do not change any more: after a
// client has died, a server goes on with what it had sent.
func (rs *restorer) settleAll(ctx context.Context, c *imap.Client) error {
	return rs.settle(ctx, func() (string, error) {
		list, err := c.List(ctx, &imap.ListOptions{Status: imap.StatusMessages | imap.StatusUIDNext})
		var b strings.Builder
		for i := range list {
			if s := list[i].Status; s != nil {
				fmt.Fprintf(&b, "%q %d %d\n", list[i].Name, s.Messages, s.UIDNext)
			}
		}
		return b.String(), err
	})
}

// settleBox is settleAll for one mailbox, after its connection was lost.
func (b *restoring) settleBox(ctx context.Context) error {
	return b.rs.settle(ctx, func() (string, error) {
		s, err := b.link.c.Status(ctx, b.name, imap.StatusMessages|imap.StatusUIDNext)
		if err != nil {
			return "", nil // it is not there, or the connection is lost again, which shows
		}
		return fmt.Sprint(s.Messages, s.UIDNext), nil
	})
}

// settle waits until state gives the same twice, with some time between, or for
// maxSettle.
func (rs *restorer) settle(ctx context.Context, state func() (string, error)) error {
	wait := rs.o.Settle
	if wait == 0 {
		wait = defaultSettle
	}
	last, err := state()
	for began := time.Now(); err == nil && time.Since(began) < maxSettle; {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		now := ""
		if now, err = state(); now == last {
			break
		}
		last = now
	}
	return err
}
