package message

import (
	"net/mail"
	"strings"
	"testing"
	"time"
)

func TestParseDate(t *testing.T) {
	tests := []struct{ in, want string }{ // RFC 3339; "!" when refused
		{"Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21T09:55:06-06:00"},
		{"21 Nov 1997 09:55:06 -0600", "1997-11-21T09:55:06-06:00"},
		{"Fri, 21 Nov 1997 09:55 +0530", "1997-11-21T09:55:00+05:30"},
		{"Fri, 21 Nov 97 09:55:06 GMT", "1997-11-21T09:55:06Z"},
		{"Fri, 21 Nov 49 09:55:06 UT", "2049-11-21T09:55:06Z"},
		{"Fri, 21 Nov 50 09:55:06 Z", "1950-11-21T09:55:06Z"},
		{"Fri, 21 Nov 103 09:55:06 EST", "2003-11-21T09:55:06-05:00"},
		{"Fri, 21 Nov 1997 09:55:06 PDT", "1997-11-21T09:55:06-07:00"},
		{"Fri, 21 Nov 1997 09:55:06 A", "1997-11-21T09:55:06Z"},
		{"Fri, 21 Nov 1997 09:55:06 +0100 (CET)", "1997-11-21T09:55:06+01:00"},
		{"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", "!"},
		{"(x)Fri(y,(z)), 21 Nov 1997 (12:00) 09:55:06 -0600", "1997-11-21T09:55:06-06:00"},
		{"Fri,21 Nov 1997\r\n 09:55:06 -0600", "1997-11-21T09:55:06-06:00"},
		{"fri, 21 nov 1997 9:5:6 -0600", "1997-11-21T09:05:06-06:00"},
		{"Friday, 21 November 1997 09:55:06 -0600", "1997-11-21T09:55:06-06:00"},
		{"Fri Nov 21 09:55:06 1997", "1997-11-21T09:55:06Z"},
		{"Fri Nov 21 09:55:06 EST 1997", "1997-11-21T09:55:06-05:00"},
		{"21-Nov-1997 09:55:06 -0600", "1997-11-21T09:55:06-06:00"},
		{" 1-Nov-1997 09:55:06 -0600", "1997-11-01T09:55:06-06:00"},
		{"Fri, 21 Nov 1997 09:55:06 GMT+0200", "1997-11-21T09:55:06+02:00"},
		{"Fri, 21 Nov 1997 09:55:06 +02:00", "1997-11-21T09:55:06+02:00"},
		{"Fri, 21 Nov 1997 09:55:06+0200", "1997-11-21T09:55:06+02:00"},
		{"Fri, 21 Nov 1997 09:55:06 +9999", "1997-11-21T09:55:06Z"},
		{"Fri, 21 Nov 1997 09:55:06", "1997-11-21T09:55:06Z"},
		{"Fri, 31 Dec 2016 23:59:60 +0000", "2017-01-01T00:00:00Z"},
		{"21 Nov 1997", "1997-11-21T00:00:00Z"},
		{"1997-11-21T09:55:06-06:00", "1997-11-21T09:55:06-06:00"},
		{"1997-11-21 09:55:06 +0000", "1997-11-21T09:55:06Z"},
		{"1997-11-21", "1997-11-21T00:00:00Z"},
		{"Fri, 29 Feb 2000 00:00:00 +0000", "2000-02-29T00:00:00Z"},
		{"", "!"}, {"Fri", "!"}, {"hello", "!"}, {"09:55:06", "!"}, {"Nov 1997", "!"},
		{"Fri, 30 Feb 2000 00:00:00 +0000", "!"},
		{"Fri, 0 Feb 2000 00:00:00 +0000", "!"},
		{"Fri, 32 Jan 2000 00:00:00 +0000", "!"},
		{"Fri, 21 Nov 1997 24:00:00 +0000", "!"},
		{"Fri, 21 Nov 1997 09:60:00 +0000", "!"},
		{"Fri, 21 Nov 19977 09:00:00 +0000", "!"},
		{"Fri, 21 Nov 1997 1998 09:00:00 +0000", "!"},
		{"Fri, 21 Nov 1997 09:00:00 +02", "1997-11-21T09:00:00+02:00"},
		{"Fri, 21 Nov 1997 :: +0000", "!"},
		{"Fri, 21 Nov 1997 (09:00:00 +0000", "!"},
		{"--", "!"}, {"a--b", "!"}, {"1--2", "!"},
		{strings.Repeat("9", 100000), "!"},
	}
	for _, tt := range tests {
		d, err := ParseDate(tt.in)
		got := "!"
		if err == nil {
			got = d.Format(time.RFC3339)
		}
		if got != tt.want {
			t.Errorf("%.60q: got %s (%v), want %s", tt.in, got, err, tt.want)
		}
	}
}

func TestFormatDate(t *testing.T) {
	d := time.Date(2024, 2, 3, 4, 5, 6, 0, time.FixedZone("x", -3*3600-1800))
	const want = "Sat, 03 Feb 2024 04:05:06 -0330"
	if got := FormatDate(d); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if back, err := ParseDate(want); err != nil || !back.Equal(d) {
		t.Errorf("came back as %v, %v", back, err)
	}
}

func FuzzDate(f *testing.F) {
	f.Add("Fri, 21 Nov 1997 09:55:06 -0600 (x)", int64(0), 0)
	f.Add("Fri Nov 21 09:55:06 EST 97", int64(1e9), 19800)
	f.Fuzz(func(t *testing.T, s string, unix int64, zone int) {
		got, err := ParseDate(s)
		if want, err2 := mail.ParseDate(s); err == nil && err2 == nil && len(strings.Fields(s)) == 6 &&
			strings.HasSuffix(s, "00") && !want.Equal(got) && strings.ContainsRune(s, '+') && !strings.ContainsAny(s, "()") {
			t.Fatalf("%q: got %v, net/mail says %v", s, got, want)
		}
		d := time.Unix(unix%250e9, 0).In(time.FixedZone("", zone%1440*60))
		if d.Year() < 1000 || d.Year() > 9999 {
			return
		}
		if back, err := ParseDate(FormatDate(d)); err != nil || !back.Equal(d) {
			t.Fatalf("%v written as %q came back as %v, %v", d, FormatDate(d), back, err)
		}
	})
}
