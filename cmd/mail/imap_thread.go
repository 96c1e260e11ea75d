package main

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/server"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// imapThreadCommand is `mail imap thread`.
func (e *env) imapThreadCommand() *cli.Command {
	by, raw := "references", ""
	return e.leaf(leaf{
		name:  "thread",
		usage: "print the UIDs of messages by conversation",
		about: "Prints a line for each message that fulfils every term, or for all, thread by thread: its UID, how many messages " +
			"of the thread it stands below, and the UID of the first message of the thread, by which threads are told apart. " +
			"Messages that others answer and that are not there have no line. Status 1 means that no message fulfils the terms.\n\n" +
			"The server does the work (THREAD). Where it cannot, the fields needed are fetched and threaded here by the same rules " +
			"(RFC 5256). TERM is as in `mail imap search`.",
		args:    "MAILBOX [TERM…]",
		minArgs: 1,
		maxArgs: -1,
		exits:   []int{exitNo},
		network: wire.IMAP,
		flags: []cli.Flag{
			choiceFlag("by", "go by `WHAT`: references (the default), or subject alone", &by, "references", "subject"),
			&cli.StringFlag{Name: "imap", Usage: "search by raw IMAP search `KEYS` too", Destination: &raw},
		},
		run: func(ctx context.Context, c *call) error { return c.imapThread(ctx, by, raw) },
	})
}

func (c *call) imapThread(ctx context.Context, by, raw string) error {
	q, err := c.parseTerms(c.args[1:], raw)
	if err != nil {
		return err
	}
	algorithm := map[string]string{"references": "REFERENCES", "subject": "ORDEREDSUBJECT"}[by]
	return c.imapSession(ctx, func(client *imap.Client) error {
		if _, err := openMailbox(ctx, client, c.args[0], false); err != nil {
			return err
		}
		p := &threadPrinter{call: c}
		threads, err := client.Threads(ctx, algorithm, q.keys...)
		if lacksExtension(err) || err != nil && searchLacks(err) {
			err = threadHere(ctx, client, threadWay{q, algorithm}, p)
		}
		for _, t := range threads {
			t.Walk(func(t *imap.Thread, depth int) {
				if e := p.visit(uint32(t.UID), depth); e != nil && err == nil {
					err = e
				}
			})
		}
		if err == nil && !p.any {
			return silent(exitNo)
		}
		return err
	})
}

type threadWay struct {
	query     *imapQuery
	algorithm string
}

// threadHere threads what the search finds, from the fields needed.
func threadHere(ctx context.Context, client *imap.Client, way threadWay, p *threadPrinter) error {
	fields := []string{"SUBJECT", "DATE"}
	if way.algorithm == "REFERENCES" {
		fields = append(fields, "MESSAGE-ID", "REFERENCES", "IN-REPLY-TO")
	}
	threader := &server.Threader{}
	if err := fetchFacts(ctx, client, imapFacts{way.query, fields, threader.Add}); err != nil {
		return err
	}
	return threader.Walk(way.algorithm, p.visit)
}

// threadPrinter prints messages of threads as they are walked.
type threadPrinter struct {
	*call
	first uint32 // of the thread
	any   bool
}

// visit prints one message; uid is 0 for one that is not there.
func (p *threadPrinter) visit(uid uint32, depth int) error {
	if depth == 0 {
		p.first = uid
	}
	if uid == 0 {
		return nil
	}
	p.any = true
	p.first = cmp.Or(p.first, uid)
	if p.json {
		return p.printJSON(struct {
			UID    uint32 `json:"uid"`
			Depth  int    `json:"depth"`
			Thread uint32 `json:"thread"`
		}{uid, depth, p.first})
	}
	number := func(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
	return p.lines.put(strings.Join([]string{number(uid), strconv.Itoa(depth), number(p.first)}, "\t"))
}
