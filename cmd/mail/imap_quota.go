package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// imapQuotaCommand is `mail imap quota`.
func (e *env) imapQuotaCommand() *cli.Command {
	return e.leaf(leaf{
		name:  "quota",
		usage: "print what an account holds and may hold",
		about: "Prints a line for each limit that MAILBOX, or INBOX, counts for: what is limited (octets, messages, or another " +
			"resource of the server's), how much is used, the limit, and the name of the quota root, which is often empty. " +
			"Status 1 means that there is no limit, 76 that the server tells none (QUOTA).",
		args:    "[MAILBOX]",
		maxArgs: 1,
		exits:   []int{exitNo},
		network: wire.IMAP,
		run:     func(ctx context.Context, c *call) error { return c.imapQuota(ctx) },
	})
}

// imapQuotaObject is a Quota of JMAP (RFC 9425 §4).
type imapQuotaObject struct {
	Name         string `json:"name"`
	ResourceType string `json:"resourceType"`
	Used         int64  `json:"used"`
	HardLimit    int64  `json:"hardLimit"`
}

func (c *call) imapQuota(ctx context.Context) error {
	mailbox := "INBOX"
	if len(c.args) > 0 {
		mailbox = c.args[0]
	}
	return c.imapSession(ctx, func(client *imap.Client) error {
		roots, err := client.QuotaRoots(ctx, mailbox)
		if err != nil {
			return err
		}
		limits := 0
		for _, root := range roots {
			for _, r := range root.Resources {
				limits++
				if err := c.imapQuotaRow(root.Root, r); err != nil {
					return err
				}
			}
		}
		if limits == 0 {
			return silent(exitNo)
		}
		return nil
	})
}

func (c *call) imapQuotaRow(root string, r imap.QuotaResource) error {
	const kib = 1024 // STORAGE is counted in it (RFC 9208 §5.1)
	kind, unit, shown := strings.ToLower(r.Name), int64(1), strings.ToLower(r.Name)
	switch r.Name {
	case "STORAGE":
		kind, unit, shown = "octets", kib, "octets"
	case "MESSAGE":
		kind, shown = "count", "messages"
	}
	used, limit := r.Usage, r.Limit
	if used < 1<<53 && limit < 1<<53 {
		used, limit = used*unit, limit*unit
	}
	if c.json {
		return c.printJSON(imapQuotaObject{Name: valid(root), ResourceType: valid(kind), Used: used, HardLimit: limit})
	}
	return c.row(shown, strconv.FormatInt(used, 10), strconv.FormatInt(limit, 10), root)
}
