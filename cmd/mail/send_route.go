package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/mail-toolkit/mail/pkg/config"
	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// route is how the messages of one account leave.
type route struct {
	target  *config.Target // has no server with --print and --mx
	from    message.Address
	fixed   bool // from was set by somebody, and is not just the name of the login
	aliases *aliases
}

// router finds the route of a sender. Where no account is named, that is the account whose address or patterns fit.
type router struct {
	c      *call
	o      *sendOptions
	file   *config.File      // nil: there is one route only
	routes map[string]*route // by the account's name
}

// newRouter finds out whether there is anything to choose, and when there is not, whether the one route exists.
func newRouter(c *call, o *sendOptions) (*router, error) {
	r := &router{c: c, o: o, routes: map[string]*route{}}
	named := c.overrides.Server != "" || c.overrides.Account != "" || c.getenv("MAIL_ACCOUNT") != "" || c.getenv("MAIL_SMTP") != ""
	if !named {
		f, err := config.OpenFile(c.overrides)
		if err == nil && len(f.Accounts) > 1 {
			r.file = f
			return r, nil
		}
	}
	_, err := r.account("")
	return r, err
}

// of gives the route for a sender's address; "" when it is not known.
func (r *router) of(sender string) (*route, error) {
	if r.file != nil {
		for _, exact := range []bool{true, false} {
			for _, a := range r.file.Accounts {
				if isSender(a, sender, exact) {
					return r.account(a.Name)
				}
			}
		}
	}
	return r.account("")
}

// isSender tells whether an account is for a sender: its address, or not exact, one of its patterns.
func isSender(a *config.Account, sender string, exact bool) bool {
	if exact {
		from, err := message.ParseAddress(a.From)
		return err == nil && sender != "" && strings.EqualFold(from.Addr, sender)
	}
	for _, pattern := range a.Match {
		if wildcard(strings.ToLower(pattern), strings.ToLower(sender)) {
			return true
		}
	}
	return false
}

// wildcard matches text with a pattern in which * stands for anything.
func wildcard(pattern, text string) bool {
	pieces := strings.Split(pattern, "*")
	first, last := pieces[0], pieces[len(pieces)-1]
	if len(pieces) == 1 {
		return pattern == text
	}
	if !strings.HasPrefix(text, first) || !strings.HasSuffix(text[len(first):], last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, piece := range pieces[1 : len(pieces)-1] {
		i := strings.Index(text, piece)
		if i < 0 {
			return false
		}
		text = text[i+len(piece):]
	}
	return true
}

// account gives the route of an account; "" is the one that flags, environment and defaults lead to.
func (r *router) account(name string) (*route, error) {
	if known := r.routes[name]; known != nil {
		return known, nil
	}
	t, err := r.target(name)
	if err != nil {
		return nil, err
	}
	made := &route{target: t}
	if made.aliases, err = r.aliases(t); err != nil {
		return nil, err
	}
	from := t.From
	if from == "" && message.CheckAddress(t.Credentials.User) == nil {
		from = t.Credentials.User
	} else {
		made.fixed = from != ""
	}
	if from == "" && r.c.local {
		from = r.c.localAddress()
	}
	if from != "" {
		if made.from, err = parseAddress(from); err != nil {
			return nil, &config.Error{Msg: fmt.Sprintf("the sender's address of the account: %v", err)}
		}
	}
	if r.o.fullName != "" {
		made.from.Name = r.o.fullName
	}
	r.routes[name] = made
	return made, nil
}

// localAddress is the user of this machine.
func (c *call) localAddress() string {
	if host := localHost(); host != "" {
		return cmp.Or(c.getenv("LOGNAME"), c.getenv("USER"), "root") + "@" + host
	}
	return ""
}

func (r *router) aliases(t *config.Target) (*aliases, error) {
	file := t.Aliases
	if r.o.aliases != "" {
		file = r.o.aliases
	}
	if file == "" {
		return nil, nil
	}
	return readAliases(file)
}

// target resolves the account. With --print and --mx there need not be a server.
func (r *router) target(name string) (*config.Target, error) {
	c := *r.c
	if name != "" {
		c.overrides.Account = name
	}
	if r.o.mx {
		return c.withoutServer()
	}
	t, err := c.target(wire.SMTP)
	if err != nil && r.o.print {
		return c.onlyAccount()
	}
	return t, err
}

// withoutServer gives the settings of a connection that has no server of ours at its other end.
func (c *call) withoutServer() (*config.Target, error) {
	account, err := c.onlyAccount()
	if err != nil {
		return nil, err
	}
	other := *c
	other.overrides.Account, other.overrides.Server = "", "smtp+plain://localhost"
	t, err := other.target(wire.SMTP)
	if err != nil {
		return nil, err
	}
	account.Wire = t.Wire
	return account, nil
}

// onlyAccount finds the sender's address in the environment or in the account, which may have no server and may be
// missing.
func (c *call) onlyAccount() (*config.Target, error) {
	if from := c.getenv("MAIL_FROM"); from != "" || c.overrides.Server != "" {
		return &config.Target{From: from}, nil
	}
	f, err := config.OpenFile(c.overrides)
	name := c.overrides.Account
	if name == "" {
		name = c.getenv("MAIL_ACCOUNT")
	}
	if errors.Is(err, fs.ErrNotExist) && name == "" {
		return &config.Target{}, nil
	}
	if err != nil {
		return nil, err
	}
	account, err := f.Pick(name)
	if err != nil {
		return nil, err
	}
	return &config.Target{Account: account.Name, From: account.From, Aliases: account.Aliases, SentMailbox: account.SentMailbox}, nil
}
