package main

import (
	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// accountCommand is about the accounts of the configuration.
func (e *env) accountCommand() *cli.Command {
	return e.group("account", "the accounts of the configuration",
		e.accountListCommand(),
		e.accountShowCommand(),
		e.accountCheckCommand())
}

// accountProtocols is every protocol that an account can have a server for, in the order of output.
var accountProtocols = [...]wire.Protocol{wire.IMAP, wire.POP3, wire.SMTP}

// protocolWord is the word for a protocol in output: what the account's key is called.
func protocolWord(p wire.Protocol) string {
	if p == wire.POP3 {
		return "pop"
	}
	return string(p)
}

// protocolsOf lists the protocols that a has servers for.
func protocolsOf(a *config.Account) []wire.Protocol {
	var list []wire.Protocol
	for _, p := range accountProtocols {
		if a.Server(p) != "" {
			list = append(list, p)
		}
	}
	return list
}

// protocolWords is protocolsOf in words, never nil.
func protocolWords(a *config.Account) []string {
	words := []string{}
	for _, p := range protocolsOf(a) {
		words = append(words, protocolWord(p))
	}
	return words
}

// oneAccount takes the account's name from the operand or from --account.
func (c *call) oneAccount() (string, error) {
	switch {
	case len(c.args) == 0:
		return c.overrides.Account, nil
	case c.overrides.Account != "" && c.overrides.Account != c.args[0]:
		return "", usagef("the account is named twice: --account %s and %s", c.overrides.Account, c.args[0])
	}
	return c.args[0], nil
}

// account finds an account in the configuration; an empty name is the one that MAIL_ACCOUNT or the file prefers.
func (c *call) account(name string) (*config.File, *config.Account, error) {
	f, err := config.OpenFile(c.overrides)
	if err != nil {
		return nil, nil, err
	}
	if name == "" {
		name = c.getenv("MAIL_ACCOUNT")
	}
	a, err := f.Pick(name)
	return f, a, err
}

// offerAccounts completes the names of accounts.
func offerAccounts(e *env, _ []string) []candidate {
	f, err := config.OpenFile(config.Overrides{PasswordFD: -1, Getenv: e.getenv})
	if err != nil {
		return nil
	}
	var words []candidate
	for _, a := range f.Accounts {
		words = append(words, candidate{a.Name, a.From})
	}
	return words
}
