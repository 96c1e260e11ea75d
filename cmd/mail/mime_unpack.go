package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/mimetree"
)

type mimeUnpackOptions struct {
	dir      string
	list     bool
	keep     bool
	messages bool
	offsets  bool
	lossless string
	manifest string
	maxParts int
	maxBytes int64
}

// mimeUnpackCommand is `mail mime unpack`.
func (e *env) mimeUnpackCommand() *cli.Command {
	o := mimeUnpackOptions{dir: "."}
	return e.leaf(leaf{
		name:  "unpack",
		usage: "write the parts of a message to files",
		about: "Writes every part to a file of its own and prints the paths, one a line. Names are those that the message gives, made " +
			"harmless; parts without a name are called part-NUMBER. A file that exists is never replaced, the new one gets a number: " +
			"report-1.pdf. A file appears when it is complete. DIR must be no symbolic link, unless it ends in /.\n\n" +
			"A uuencoded file between the lines of a text becomes a file of its own, printed before the text, which is written without it. A text that has " +
			"a name or is an attachment stays as it is.\n\n" +
			"With --lossless the message is taken apart so that `mail mime pack --from DIR` gives it again, octet for octet, or with what was " +
			"edited in the files. Standard input is then one message, whatever it begins with.\n\n" + mimeInputHelp,
		args:    "[FILE]",
		maxArgs: 1,
		changes: true,
		exits:   []int{exitIncomplete},
		flags: []cli.Flag{
			&cli.StringFlag{Name: "C", Usage: "write into the folder `DIR`, made when it is missing", Value: o.dir, Destination: &o.dir},
			&cli.BoolFlag{Name: "list", Usage: "write nothing: print number, type, size and name of each part", Destination: &o.list},
			&cli.BoolFlag{Name: "offsets", Usage: "tell with --list, --json or --manifest where each part stands, in octets: the offset of its header, and offset and size of its body",
				Destination: &o.offsets},
			&cli.BoolFlag{Name: "messages", Usage: "write messages inside the message whole, as .eml files", Destination: &o.messages},
			&cli.StringFlag{Name: "lossless", Usage: "write into `DIR` all that it takes to pack the same message again", Destination: &o.lossless},
			&cli.StringFlag{Name: "manifest", Usage: "write a JSON object for each file, with its part, size, type and SHA-256, to `FILE`; - prints them and no paths",
				Destination: &o.manifest},
			&cli.BoolFlag{Name: "keep-names", Usage: "fail rather than change a name", Destination: &o.keep},
			&cli.IntFlag{Name: "max-parts", Usage: "write what follows `N` parts to one file, undivided", Value: 10000, Destination: &o.maxParts},
			sizeFlag("max-bytes", "stop when the files together exceed `SIZE` (default: 1G, or 100 times the message)", &o.maxBytes),
		},
		run: func(ctx context.Context, c *call) error { return c.mimeUnpack(ctx, o) },
	})
}

func (c *call) mimeUnpack(ctx context.Context, o mimeUnpackOptions) (err error) {
	switch {
	case o.maxParts < 1:
		return usagef("--max-parts: at least 1 is expected")
	case o.lossless != "" && (o.list || o.messages || o.dir != "."):
		return usagef("--lossless excludes -C, --list and --messages")
	case o.offsets && !o.list && !c.json && o.manifest == "":
		return usagef("--offsets: --list, --json or --manifest is expected")
	case o.list && o.manifest != "" && o.manifest != "-":
		return usagef("--list writes no file: --manifest - prints the objects")
	}
	u := &unpacking{c: c, o: o, options: &mimetree.UnpackOptions{
		Limits: mimetree.Limits{Parts: o.maxParts}, MaxBytes: o.maxBytes, Messages: o.messages, Keep: o.keep, List: o.list || c.dryRun,
		Digest: o.manifest != "", Names: new(mimetree.Names), Container: c.noteDefects,
	}}
	if o.lossless != "" {
		u.o.dir = o.lossless
	}
	if err := u.openManifest(); err != nil {
		return err
	}
	debug.SetGCPercent(mimeGarbage)
	defer func() { err = errors.Join(err, u.closeManifest()) }()
	if err := u.run(ctx); err != nil {
		return unpackError(err)
	}
	if u.incomplete {
		return silent(exitIncomplete)
	}
	return nil
}

// unpackError adds what can be done about an error.
func unpackError(err error) error {
	var limit *mimetree.LimitError
	var link *mimetree.LinkError
	switch {
	case errors.As(err, &limit):
		return &hinted{err, "the files printed are complete; --max-bytes sets the limit"}
	case errors.As(err, &link):
		return &hinted{codef(exitCreate, "%w", link), "with / behind its name it is followed"}
	}
	return err
}

// unpacking is one run of `mail mime unpack`.
type unpacking struct {
	c          *call
	o          mimeUnpackOptions
	options    *mimetree.UnpackOptions
	made       bool // the folder is there
	messages   int
	incomplete bool
	manifest   *os.File // nil: none, or standard output
	objects    *json.Encoder
}

func (u *unpacking) run(ctx context.Context) error {
	if u.o.lossless == "" || u.options.List {
		return u.c.eachMessage(ctx, u.c.operand(0), func(r io.Reader) error {
			if err := u.makeFolder(); err != nil {
				return err
			}
			return mimetree.Unpack(ctx, r, u.o.dir, u.options, u.told)
		})
	}
	in, err := u.c.openMessage(u.c.operand(0))
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	if err := u.makeFolder(); err != nil {
		return err
	}
	u.messages = 1
	return mimetree.UnpackLossless(ctx, in, u.o.dir, u.options, u.told)
}

// makeFolder makes the folder before the first message.
func (u *unpacking) makeFolder() error {
	u.messages++
	if u.options.List || u.made {
		return nil
	}
	u.made = true
	if err := os.MkdirAll(u.o.dir, 0o700); err != nil {
		return codef(exitCreate, "%w", err)
	}
	return nil
}

// manifestObject is a file in the manifest.
type manifestObject struct {
	Message int    `json:"message"` // its place in the stream
	Part    string `json:"part"`
	File    string `json:"file"`
	Name    string `json:"name,omitempty"` // as the sender calls it
	Size    int64  `json:"size"`
	Type    string `json:"type"`
	SHA256  string `json:"sha256"`
	Header  *span  `json:"header,omitempty"` // where it stands in the message
	Body    *span  `json:"body,omitempty"`
}

// openManifest starts the manifest beside its name, so that it appears when it is complete.
func (u *unpacking) openManifest() (err error) {
	if u.o.manifest == "" || u.o.manifest == "-" || u.options.List {
		return nil
	}
	if u.manifest, err = os.CreateTemp(filepath.Dir(u.o.manifest), ".mail-*.part"); err != nil {
		return codef(exitCreate, "%w", err)
	}
	u.objects = json.NewEncoder(u.manifest)
	u.objects.SetEscapeHTML(false)
	return nil
}

// closeManifest gives the manifest its name. It has what was written, whatever came of the rest.
func (u *unpacking) closeManifest() error {
	if u.manifest == nil {
		return nil
	}
	temp := u.manifest.Name()
	err := u.manifest.Close()
	if err == nil {
		err = os.Rename(temp, u.o.manifest)
	}
	if err != nil {
		return errors.Join(codef(exitCreate, "%w", err), os.Remove(temp))
	}
	return nil
}

// told prints a part that was written.
func (u *unpacking) told(e mimetree.Entry) error {
	c := u.c
	c.noteDefects(e.Part)
	u.incomplete = u.incomplete || isLimit(e.Part)
	path := filepath.Join(u.o.dir, e.Name)
	digest := hex.EncodeToString(e.SHA256)
	m := manifestObject{u.messages, e.Part.ID, valid(path), valid(e.Part.Filename), e.Size, e.Part.MediaType, digest, nil, nil}
	if u.o.offsets {
		m.Header, m.Body = place(e.Part)
	}
	switch {
	case u.o.manifest == "-":
		return c.printJSON(m)
	case u.objects != nil:
		if err := u.objects.Encode(m); err != nil {
			return err
		}
	}
	switch {
	case c.json:
		object := newPartObject(e.Part, e.Size)
		object.SHA256, object.Header, object.Body = digest, m.Header, m.Body
		if !u.o.list {
			object.Path = valid(path)
		}
		return c.printJSON(object)
	case u.o.list:
		columns := []string{e.Part.ID, e.Part.MediaType, strconv.FormatInt(e.Size, 10), e.Name}
		if u.o.offsets {
			columns = append(columns, offsets(e.Part)...)
		}
		return c.row(columns...)
	}
	_, err := io.WriteString(c.stdout, c.text(path)+"\n")
	return err
}
