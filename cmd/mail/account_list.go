package main

import (
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/config"
)

// accountLine is one account in `account list --json`.
type accountLine struct {
	Name      string   `json:"name"`
	Protocols []string `json:"protocols"`
	From      string   `json:"from,omitempty"`
	IsDefault bool     `json:"isDefault"`
}

// accountListCommand prints the accounts in the order of the file.
func (e *env) accountListCommand() *cli.Command {
	return e.leaf(leaf{
		name:  "list",
		usage: "print the names of the accounts",
		about: "Prints a line for each account of the configuration, in the order of the file: its name, the protocols it has " +
			"servers for with commas between, the sender's address, and the word default for the one that is used when none is named.",
		run: func(_ context.Context, c *call) error { return c.listAccounts() },
	})
}

func (c *call) listAccounts() error {
	f, err := config.OpenFile(c.overrides)
	if err != nil {
		return err
	}
	preferred := ""
	if a, err := f.Pick(c.getenv("MAIL_ACCOUNT")); err == nil {
		preferred = a.Name
	}
	for _, a := range f.Accounts {
		line := accountLine{a.Name, protocolWords(a), a.From, a.Name == preferred}
		if err := c.accountRow(line); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) accountRow(l accountLine) error {
	if c.json {
		return c.printJSON(l)
	}
	mark := ""
	if l.IsDefault {
		mark = "default"
	}
	return c.row(l.Name, strings.Join(l.Protocols, ","), l.From, mark)
}
