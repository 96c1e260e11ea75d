package imap

import (
	"context"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// Quota is the limit on a quota root: a mailbox tree, or the whole account
// (RFC 9208).
type Quota struct {
	Root      string
	Resources []QuotaResource
}

// QuotaResource is what is limited.
type QuotaResource struct {
	Name         string // in upper case: STORAGE, MESSAGE
	Usage, Limit int64  // STORAGE in units of 1024 octets
}

// maxQuotaRoots bounds the quota roots of one mailbox.
const maxQuotaRoots = 1000

// QuotaRoots returns the quotas that a mailbox counts for (GETQUOTAROOT, RFC
// 9208 §4.1.2); none at all means no limit.
//
// Errors: *[CapabilityError] without QUOTA.
func (c *Client) QuotaRoots(ctx context.Context, mailbox string) ([]Quota, error) {
	return c.quota(ctx, "GETQUOTAROOT", mailbox)
}

// Quota returns the quota of one root (GETQUOTA, RFC 9208 §4.1.1).
//
// Errors: *[CapabilityError] without QUOTA; *[Error] for a root that is not there.
func (c *Client) Quota(ctx context.Context, root string) (*Quota, error) {
	list, err := c.quota(ctx, "GETQUOTA", root)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Root == root {
			return &list[i], nil
		}
	}
	return &Quota{Root: root}, nil
}

func (c *Client) quota(ctx context.Context, verb, name string) ([]Quota, error) {
	defer c.conn.Bind(ctx)()
	if err := c.ready(authenticated, name); err != nil {
		return nil, err
	}
	if !c.has("QUOTA") {
		return nil, &CapabilityError{Command: "quota", Capability: "QUOTA"}
	}
	var list []Quota
	cmd := &command{label: label("quota of", name), data: func(r imapwire.Response, d *imapwire.Decoder) bool {
		switch r.Name {
		case "QUOTA":
			if q := decodeQuota(d); d.Err() == nil && len(list) < maxQuotaRoots {
				list = append(list, q)
			}
		case "QUOTAROOT": // the names come again with their quotas
			d.SkipRest()
		default:
			return false
		}
		return true
	}}
	err := c.run(cmd, verb, func(e *imapwire.Encoder) {
		if verb == "GETQUOTAROOT" {
			c.putMailbox(e.SP(), name)
		} else {
			e.SP().AString(name)
		}
	})
	return list, err
}

// decodeQuota reads the data of a QUOTA response (RFC 9208 §4.2.1).
func decodeQuota(d *imapwire.Decoder) Quota {
	q := Quota{Root: d.AString()}
	d.SP()
	for n, ok := 0, d.OpenList(); ok && d.More(n); n++ {
		r := QuotaResource{Name: d.Keyword()}
		d.SP()
		r.Usage = d.Number64()
		d.SP()
		r.Limit = d.Number64()
		q.Resources = append(q.Resources, r)
	}
	return q
}
