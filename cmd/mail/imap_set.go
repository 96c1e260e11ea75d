package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// imapSetHelp is the part of the help about naming messages.
const imapSetHelp = "Messages are named by UID (7), by range (1:100, 900:*), by `*` for the last one; several with commas or " +
	"spaces between. Search terms, as of `mail imap search`, may stand in their place. `-` reads UIDs from standard " +
	"input, one a line."

// imapSetOptions are the flags of commands that take messages.
type imapSetOptions struct {
	seq bool
	raw string
}

func (o *imapSetOptions) flags(more ...cli.Flag) []cli.Flag {
	return append(more,
		&cli.BoolFlag{Name: "seq", Usage: "take the numbers as sequence numbers, not as UIDs", Destination: &o.seq},
		&cli.StringFlag{Name: "imap", Usage: "take the messages that the raw IMAP search `KEYS` find", Destination: &o.raw},
	)
}

// imapMessages names messages of a mailbox as they were typed.
type imapMessages struct {
	query   *imapQuery  // a search, when not nil
	set     imap.UIDSet // else UIDs
	singles imap.UIDSet // those of set that were named one by one: they should be there
}

// imapMessages reads the operands behind the mailbox.
func (c *call) imapMessages(args []string, o imapSetOptions) (*imapMessages, error) {
	terms := 0
	for _, arg := range args {
		if isTerm(arg) {
			terms++
		}
	}
	m := &imapMessages{}
	var err error
	switch {
	case len(args) == 0 && o.raw == "":
		return nil, usagef("no messages are named: a set of UIDs, search terms or - is expected")
	case terms > 0 && terms < len(args):
		return nil, usagef("a set and search terms together: write uid:SET among the terms")
	case terms > 0 || len(args) == 0:
		m.query, err = c.parseTerms(args, o.raw)
	case o.raw != "":
		return nil, usagef("a set and --imap together: write UID SET among the keys")
	case o.seq:
		err = m.addSequence(args)
	default:
		err = m.addSets(c, args)
	}
	return m, err
}

func (m *imapMessages) addSequence(args []string) error {
	set, err := imapwire.ParseSeqSet(strings.Join(args, ","))
	if err != nil {
		return usagef("%v", err)
	}
	m.query = &imapQuery{keys: []imap.SearchKey{imap.SearchSeq(set)}}
	return nil
}

func (m *imapMessages) addSets(c *call, args []string) error {
	for _, arg := range args {
		if arg != "-" {
			if err := m.add(arg); err != nil {
				return usagef("%v", err)
			}
			continue
		}
		in, err := c.input("UIDs of messages")
		if err != nil {
			return err
		}
		if err := m.read(in); err != nil {
			return err
		}
	}
	return nil
}

// read takes UIDs or sets, one a line; further words on a line do not count, so that a listing can be piped in.
func (m *imapMessages) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20) // a set of many ranges is a long word
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		if err := m.add(words[0]); err != nil {
			return codef(exitData, "standard input, line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return codef(exitIO, "standard input: %w", err)
	}
	return nil
}

func (m *imapMessages) add(text string) error {
	set, err := imapwire.ParseUIDSet(text)
	if err != nil {
		return err
	}
	m.set.AddSet(set)
	for _, part := range strings.Split(text, ",") {
		if one, err := imapwire.ParseUIDSet(part); err == nil && one.Count() == 1 {
			m.singles.AddSet(one)
		}
	}
	return nil
}

// single tells if exactly one UID was named.
func (m *imapMessages) single() bool {
	return m.query == nil && !m.set.Dynamic() && m.set.Count() == 1
}

// nothing tells if standard input named no message: then there is nothing to do.
func (m *imapMessages) nothing() bool { return m.query == nil && m.set.Empty() }

// errNothing ends a session in which there is nothing to do: it is no failure.
var errNothing = errors.New("nothing to do")

// find gives the UIDs of those messages that are there. None at all is an error: status 1 for a search, 66 for UIDs
// unless `*` was among them. missing are UIDs that were named one by one.
func (m *imapMessages) find(ctx context.Context, client *imap.Client) (found, missing imap.UIDSet, err error) {
	query := m.query
	if query == nil {
		query = &imapQuery{keys: []imap.SearchKey{imap.SearchUIDs(m.set)}}
	}
	found, err = query.run(ctx, client)
	if err != nil {
		return found, missing, err
	}
	missing = m.singles.Minus(found)
	return found, missing, m.none(found.Empty())
}

// none is the error for no message at all.
func (m *imapMessages) none(none bool) error {
	switch {
	case !none:
		return nil
	case m.query != nil:
		return silent(exitNo)
	case m.set.Dynamic():
		return errNothing
	}
	return notFoundf("no message with UID %s", shorten(m.set.String(), 60))
}

// imapMissing is the error for messages that were named and are not there, after the others have been dealt with.
func imapMissing(missing imap.UIDSet) error {
	if missing.Empty() {
		return nil
	}
	return codef(exitIncomplete, "no message with UID %s; the others are done", shorten(missing.String(), 60))
}
