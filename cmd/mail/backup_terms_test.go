package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mail-toolkit/mail/pkg/backup"
	"github.com/mail-toolkit/mail/pkg/imap"
	"github.com/mail-toolkit/mail/pkg/store"
)

func TestBackupTerms(t *testing.T) {
	sp, err := store.NewSpool(strings.NewReader("From: Bob <bob@example.org>\nDate: Mon, 2 Nov 2026 23:30:00 +0100\nSubject: =?utf-8?Q?Cr=C3=AApes?=\n\nbuckwheat\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	s := &store.Message{Spool: sp}
	m := &backup.Message{UID: 7, Size: 2000, Flags: []string{`\Seen`, "todo"}, Labels: []string{"menu"},
		Date: time.Date(2026, 11, 3, 1, 0, 0, 0, time.FixedZone("", 7200))}
	now := time.Date(2026, 11, 10, 12, 0, 0, 0, time.UTC)
	for terms, want := range map[string]bool{
		"all": true, "seen": true, "unseen": false, "not:seen": false, "not:not:seen": true, "unflagged": true, "flagged": false,
		"keyword:TODO": true, "unkeyword:todo": false, "keyword:x": false, "label:menu": true, "label:x": false,
		"since:2026-11-03": true, "since:2026-11-04": false, "before:2026-11-03": false, "before:2026-11-04": true, "on:2026-11-03": true,
		"on:2026-11-02": false, "senton:2026-11-02": true, "sentsince:2026-11-03": false, "sentbefore:today": true, "since:8d": true, "since:6d": false,
		"larger:1k": true, "larger:2k": false, "smaller:2k": true, "younger:2w": true, "younger:1h": false, "older:1h": true,
		"uid:1:9": true, "uid:8:*": false, "not:uid:8": true, "from:BOB": true, "from:alice": false, "subject:crêpes": true, "not:subject:crêpes": false,
		"body:wheat": true, "text:bob@": true, "text:nobody": false, "header:Subject": true, "header:List-Id": false, `header:from:bob`: true,
		"seen from:bob body:buck": true, "seen from:bob body:rye": false, "unseen from:bob": false,
	} {
		q, err := backupTerms(strings.Fields(terms), now)
		if err != nil {
			t.Errorf("%s: %v", terms, err)
		} else if got := q.matches(m, s); got != want {
			t.Errorf("%s: got %t, want %t", terms, got, want)
		}
	}
	if q, err := backupTerms([]string{"on:2026-11-03"}, now); err != nil || q.matches(&backup.Message{}, s) {
		t.Errorf("without a date: %v, and it was that day", err)
	}
	if q, err := backupTerms(nil, now); q != nil || err != nil {
		t.Errorf("no terms: got %v, %v", q, err)
	}
	for _, term := range []string{"recent", "old", "new", "gmail:x", "nosuch", "since:x", "larger:x", "label:", "younger:x", "uid:x", "subject:"} {
		_, err := backupTerms([]string{term}, now)
		var bad *imap.TermError
		var usage *usageError
		if !errors.As(err, &bad) && !errors.As(err, &usage) {
			t.Errorf("%s: got %v, want a refusal", term, err)
		}
	}
}
