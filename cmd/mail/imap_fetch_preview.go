package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
	"github.com/mail-toolkit/mail/pkg/mimetree"
)

const (
	previewLength = 200     // characters shown (RFC 8970 §3.1)
	previewOctets = 4 << 10 // of a text part that are fetched
	previewWindow = 1000    // messages at a time
)

// preview prints the first words of each message.
func (f *imapFetching) preview(ctx context.Context) error {
	caps, err := f.client.Capability(ctx)
	if err != nil {
		return err
	}
	if caps.Has("PREVIEW") {
		return f.done(f.client.Fetch(ctx, f.set, &imap.FetchOptions{Preview: true}, func(m *imap.Message) error {
			return f.printPreview(m.UID, m.Preview)
		}))
	}
	var gone, some imap.UIDSet
	left := f.set.Count()
	for uid := range f.set.All() {
		some.Add(uid)
		if left--; left > 0 && some.Count() < previewWindow {
			continue
		}
		missing, err := f.previewsOf(ctx, some)
		if err != nil {
			return err
		}
		gone.AddSet(missing)
		some = imap.UIDSet{}
	}
	return f.done(gone, nil)
}

// textPlace is a text part and how it is read.
type textPlace struct{ path, encoding, charset, subtype string }

// previewsOf fetches where the texts are, then the begin of each, one command for those in the same place.
func (f *imapFetching) previewsOf(ctx context.Context, set imap.UIDSet) (gone imap.UIDSet, err error) {
	places := map[textPlace]imap.UIDSet{}
	gone, err = f.client.Fetch(ctx, set, &imap.FetchOptions{Structure: true}, func(m *imap.Message) error {
		at := firstText(m.Structure)
		uids := places[at]
		uids.Add(m.UID)
		places[at] = uids
		return nil
	})
	if err != nil {
		return gone, err
	}
	texts := map[imap.UID]string{}
	for at, uids := range places {
		if err := f.fetchTexts(ctx, textsAt{at, uids, texts}); err != nil {
			return gone, err
		}
	}
	for _, uid := range slices.Sorted(maps.Keys(texts)) {
		if err := f.printPreview(uid, texts[uid]); err != nil {
			return gone, err
		}
	}
	return gone, nil
}

// firstText is the part that a preview is taken from: the first plain text that is no attachment, else the first HTML.
func firstText(s *imap.BodyStructure) (at textPlace) {
	if s == nil {
		return at
	}
	s.Walk(func(b *imap.BodyStructure) {
		if b.Type != "text" || b.Disposition == "attachment" || at.subtype == "plain" || at.path != "" && b.Subtype != "plain" {
			return
		}
		at = textPlace{b.Path, b.Encoding, charsetOf(b), b.Subtype}
	})
	return at
}

type textsAt struct {
	place textPlace
	uids  imap.UIDSet
	texts map[imap.UID]string
}

func (f *imapFetching) fetchTexts(ctx context.Context, t textsAt) error {
	for uid := range t.uids.All() {
		t.texts[uid] = ""
	}
	if t.place.path == "" {
		return nil
	}
	section, err := imapwire.ParseSection(t.place.path)
	if err != nil {
		return err
	}
	section.Length = previewOctets
	_, err = f.client.Fetch(ctx, t.uids, &imap.FetchOptions{Sections: []imap.Section{section}}, func(m *imap.Message) error {
		body, err := m.Next()
		if err != nil {
			return err
		}
		raw, err := io.ReadAll(io.LimitReader(body, previewOctets))
		t.texts[m.UID] = firstWords(string(raw), t.place)
		return err
	})
	if refused := (*imap.Error)(nil); errors.As(err, &refused) && !refused.Temporary() && refused.Status != "BYE" {
		return nil // no words
	}
	return err
}

// firstWords is the begin of a text, on one line.
func firstWords(raw string, at textPlace) string {
	decoded := mimetree.NewDecoder(strings.NewReader(raw), at.encoding, mimetree.DecodeOptions{LF: true})
	text, _ := mimetree.NewCharsetReader(at.charset, decoded)
	var words string
	if at.subtype == "html" {
		words, _ = mimetree.TextFromHTML(text)
	} else if all, err := io.ReadAll(text); err == nil {
		words = string(all)
	}
	words = strings.Join(strings.Fields(strings.TrimRight(words, "\uFFFD")), " ")
	if runes := []rune(words); len(runes) > previewLength {
		return string(runes[:previewLength])
	}
	return words
}

// printPreview prints the words of one message.
func (f *imapFetching) printPreview(uid imap.UID, words string) error {
	if f.json {
		return f.printJSON(struct {
			UID     imap.UID `json:"uid"`
			Preview string   `json:"preview"`
		}{uid, valid(words)})
	}
	return f.row(uidText(uid), words)
}
