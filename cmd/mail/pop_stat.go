package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/pop3"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// popStatCommand is `mail pop stat`.
func (e *env) popStatCommand() *cli.Command {
	return e.leaf(leaf{
		name:    "stat",
		usage:   "print how many messages there are, and their octets",
		about:   "Prints one line: the number of messages and their size in octets, as the server counts it.",
		network: wire.POP3,
		run: func(ctx context.Context, c *call) error {
			return c.popSession(ctx, func(client *pop3.Client) error {
				s, err := client.Stat(ctx)
				if err != nil {
					return err
				}
				if c.json {
					return c.printJSON(struct {
						Count int   `json:"count"`
						Size  int64 `json:"size"`
					}{s.Count, s.Size})
				}
				return c.lines.put(fmt.Sprintf("%d %d", s.Count, s.Size))
			})
		},
	})
}
