package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/store"
)

// boxCatCommand is `mail box cat`.
func (e *env) boxCatCommand() *cli.Command {
	var crlf bool
	return e.leaf(leaf{
		name:  "cat",
		usage: "print messages of a Maildir, mbox or folder of .eml files",
		about: "Prints a message as it is, with LF line ends, and several, or all when none is named, as an mboxrd stream, in the " +
			"order in which they are in SRC, with their flags in the `From ` lines. A message is named by its number, as `mail box list` gives it, by N:M, by `*`, the last " +
			"one, or by its path.\n\n" + boxSourceHelp + "\n\nStatus 66 means that none of the messages is there, 3 that some are not.",
		args:    "SRC [N|PATH…]",
		minArgs: 1,
		maxArgs: -1,
		exits:   []int{exitIncomplete},
		flags: []cli.Flag{
			&cli.BoolFlag{Name: "crlf", Usage: "print CR LF line ends, as on the wire", Destination: &crlf},
		},
		run: func(ctx context.Context, c *call) error { return c.boxCat(ctx, crlf) },
	})
}

func (c *call) boxCat(ctx context.Context, crlf bool) (err error) {
	if c.json {
		return usagef("--json: messages are printed as they are; `mail box list --json` describes them")
	}
	src, err := c.openBox(c.args[0])
	if err != nil {
		return err
	}
	names, err := c.boxNames(ctx, src)
	if err != nil {
		return err
	}
	one := len(names) == 1 && names[0].from == names[0].to
	sink, err := store.OpenSink("-", store.SinkOptions{Stdout: c.stdout, CRLF: crlf, Many: !one, Flags: true})
	if err != nil {
		return err
	}
	batch := sink.Batch()
	number := 0
	for m, err := range src.Messages(ctx) {
		if err != nil {
			return boxData(err)
		}
		number++
		if !takeBox(names, number, m.Path) {
			continue
		}
		if err := batch.Add(ctx, m.Wire(), m.Meta); err != nil {
			return err
		}
		if one {
			break
		}
	}
	if _, err := batch.Commit(ctx); err != nil {
		return err
	}
	return boxMissing(names)
}

// boxName is one name of messages as it was typed.
type boxName struct {
	text     string
	from, to int    // a range of numbers, in order
	path     string // instead of a range
	found    bool
}

// boxNames reads the operands behind SRC.
func (c *call) boxNames(ctx context.Context, src *store.Source) ([]boxName, error) {
	var names []boxName
	last := 0
	for _, arg := range c.args[1:] {
		first, second, isRange := strings.Cut(arg, ":")
		if !isRange {
			second = first
		}
		from, ok1 := parsePopNumber(first)
		to, ok2 := parsePopNumber(second)
		if !ok1 || !ok2 {
			names = append(names, boxName{text: arg, path: filepath.Clean(arg)})
			continue
		}
		if last == 0 && (from == popLast || to == popLast) {
			for _, err := range src.Messages(ctx) {
				if err != nil {
					return nil, boxData(err)
				}
				last++
			}
		}
		if from == popLast {
			from = last
		}
		if to == popLast {
			to = last
		}
		names = append(names, boxName{text: arg, from: min(from, to), to: max(from, to)})
	}
	return names, nil
}

// takeBox reports whether a message is named, or none is.
func takeBox(names []boxName, number int, path string) bool {
	take := len(names) == 0
	for i, n := range names {
		if n.path == "" && n.from <= number && number <= n.to || n.path != "" && n.path == filepath.Clean(path) {
			names[i].found = true
			take = true
		}
	}
	return take
}

// boxMissing tells what was named and is not there.
func boxMissing(names []boxName) error {
	var missing []error
	for _, n := range names {
		if !n.found {
			missing = append(missing, notFoundf("no message %s", n.text))
		}
	}
	if len(missing) > 0 && len(missing) < len(names) {
		return codef(exitIncomplete, "%v", errors.Join(missing...))
	}
	return errors.Join(missing...)
}
