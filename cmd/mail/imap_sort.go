package main

import (
	"bufio"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/server"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// sortWords are the sort keys by the names that a person writes.
var sortWords = map[string]imap.SortKey{
	"arrival": imap.SortArrival, "cc": imap.SortCc, "date": imap.SortDate, "from": imap.SortFrom, "size": imap.SortSize,
	"subject": imap.SortSubject, "to": imap.SortTo, "displayfrom": imap.SortDisplayFrom, "displayto": imap.SortDisplayTo,
}

// imapSortCommand is `mail imap sort`.
func (e *env) imapSortCommand() *cli.Command {
	var raw string
	return e.leaf(leaf{
		name:  "sort",
		usage: "print the UIDs of messages in an order",
		about: "Prints the UIDs of the messages that fulfil every term, or of all, in the order that KEYS say: arrival, cc, date, " +
			"displayfrom, displayto, from, size, subject or to, several with commas between, the first one first, `reverse:` " +
			"before a key for the other direction: `reverse:date,subject`. Messages that are equal in all of them stay in the order of their " +
			"UIDs. Status 1 means that no message fulfils the terms.\n\n" +
			"The server sorts (SORT). Where it cannot, the fields needed are fetched and sorted here by the same rules (RFC 5256): " +
			"date is that of the Date field in UTC, subject the one without Re: and Fwd:, from, to and cc the first address's " +
			"part before the @. TERM is as in `mail imap search`.",
		args:    "MAILBOX KEYS [TERM…]",
		minArgs: 2,
		maxArgs: -1,
		exits:   []int{exitNo},
		network: wire.IMAP,
		flags: []cli.Flag{
			&cli.StringFlag{Name: "imap", Usage: "search by raw IMAP search `KEYS` too", Destination: &raw},
		},
		run: func(ctx context.Context, c *call) error { return c.imapSort(ctx, raw) },
	})
}

// maxSortWords bounds the keys of one sort.
const maxSortWords = 20

// parseSort reads KEYS.
func parseSort(text string) ([]imap.SortBy, error) {
	words := strings.Split(text, ",")
	if len(words) > maxSortWords {
		return nil, usagef("more than %d sort keys", maxSortWords)
	}
	by := make([]imap.SortBy, len(words))
	for i, word := range words {
		word, reverse := strings.CutPrefix(strings.ToLower(word), "reverse:")
		key, ok := sortWords[word]
		if !ok {
			return nil, usagef("%q is no sort key: arrival, cc, date, displayfrom, displayto, from, size, subject and to are", shorten(word, 40))
		}
		by[i] = imap.SortBy{Key: key, Reverse: reverse}
	}
	return by, nil
}

func (c *call) imapSort(ctx context.Context, raw string) error {
	by, err := parseSort(c.args[1])
	if err != nil {
		return err
	}
	q, err := c.parseTerms(c.args[2:], raw)
	if err != nil {
		return err
	}
	return c.imapSession(ctx, func(client *imap.Client) error {
		if _, err := openMailbox(ctx, client, c.args[0], false); err != nil {
			return err
		}
		uids, err := client.Sort(ctx, by, q.keys...)
		if lacksExtension(err) || err != nil && searchLacks(err) {
			uids, err = sortHere(ctx, client, by, q)
		}
		if err != nil {
			return err
		}
		if len(uids) == 0 {
			return silent(exitNo)
		}
		for _, uid := range uids {
			if err := c.printUID(uid); err != nil {
				return err
			}
		}
		return nil
	})
}

func lacksExtension(err error) bool {
	var lacks *imap.CapabilityError
	return errors.As(err, &lacks)
}

// sortHere sorts what the search finds, from the fields needed.
func sortHere(ctx context.Context, client *imap.Client, by []imap.SortBy, q *imapQuery) ([]imap.UID, error) {
	var criteria, fields []string
	for _, b := range by {
		if b.Reverse {
			criteria = append(criteria, "REVERSE")
		}
		criteria = append(criteria, string(b.Key))
		if b.Key != imap.SortArrival && b.Key != imap.SortSize {
			fields = append(fields, strings.TrimPrefix(string(b.Key), "DISPLAY"))
		}
	}
	sorter, err := server.NewSorter(strings.Join(criteria, " "))
	if err != nil {
		return nil, err
	}
	if err := fetchFacts(ctx, client, imapFacts{q, fields, sorter.Add}); err != nil {
		return nil, err
	}
	var uids []imap.UID
	for _, uid := range sorter.UIDs() {
		uids = append(uids, imap.UID(uid))
	}
	return uids, nil
}

// imapFacts is what sorting and threading take from the messages that a search finds: arrival, size and some fields.
type imapFacts struct {
	query  *imapQuery
	fields []string
	add    func(m server.MessageInfo, h *message.Header)
}

func fetchFacts(ctx context.Context, client *imap.Client, f imapFacts) error {
	found, err := f.query.run(ctx, client)
	if err != nil {
		return err
	}
	items := &imap.FetchOptions{InternalDate: true, Size: true}
	if len(f.fields) > 0 {
		slices.Sort(f.fields)
		items.Sections = []imap.Section{{Spec: "HEADER.FIELDS", Fields: slices.Compact(f.fields)}}
	}
	_, err = client.Fetch(ctx, found, items, func(m *imap.Message) error {
		header := &message.Header{}
		if items.Sections != nil {
			body, err := m.Next()
			if err != nil {
				return err
			}
			if h, err := message.ReadHeader(bufio.NewReader(body)); err == nil {
				header = h
			}
		}
		f.add(server.MessageInfo{UID: uint32(m.UID), Date: m.InternalDate, Size: m.Size}, header)
		return nil
	})
	return err
}
