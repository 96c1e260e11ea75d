package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		e, _, _ := testEnv("")
		e.stderrTTY, e.progress = true, &out
		c := &call{env: e}
		p := c.newProgress("sending", 4_000_000)
		p.add(1_000_000)
		if out.Len() != 0 {
			t.Errorf("at once: %q, want nothing", &out)
		}
		time.Sleep(2 * time.Second)
		p.message()
		p.message()
		want := "\rsending  1.0 MB  500 kB/s  [=====               ] 25 %  6s left\x1b[K"
		if out.String() != want {
			t.Errorf("after 2 s: %q, want %q", &out, want)
		}
		time.Sleep(2 * time.Second)
		out.Reset()
		p.add(3_000_000)
		if got := out.String(); !strings.Contains(got, "2 messages  4.0 MB") || !strings.Contains(got, "100 %  0s left") {
			t.Errorf("at the end: %q", got)
		}
		out.Reset()
		p.clear()
		p.clear()
		if out.String() != "\r\x1b[K" {
			t.Errorf("cleared: %q, want the line emptied once", &out)
		}
		out.Reset()
		q := c.newProgress("storing", -1)
		time.Sleep(2 * time.Second)
		q.expect(0, 4)
		q.message()
		if want := "\rstoring  1 of 4 messages  0 B  0 B/s  [=====               ] 25 %  6s left\x1b[K"; out.String() != want {
			t.Errorf("by messages: %q, want %q", &out, want)
		}
		for _, quiet := range []*call{{env: e, quiet: true}, {env: e, json: true}, {env: e, verbose: 1}, {env: &env{}}} {
			if p := quiet.newProgress("x", 1); p != nil {
				t.Errorf("%+v: a bar, want none", quiet)
			}
		}
	})
}
