package message

import "testing"

func TestASCIIDomain(t *testing.T) {
	for addr, want := range map[string]string{
		"bob@example.org":     "bob@example.org",
		"bob@bücher.example":  "bob@xn--bcher-kva.example",
		"büb@bücher.example":  "büb@bücher.example",
		"bob@bü_cher.example": "bob@bü_cher.example",
		"bob":                 "bob",
	} {
		if got := ASCIIDomain(addr); got != want {
			t.Errorf("%s: got %s, want %s", addr, got, want)
		}
	}
}
