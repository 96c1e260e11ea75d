package imapwire

import (
	"bytes"
	"time"
)

var monthNames = [12]string{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"}

// parseDateTime reads "17-Jul-1996 02:44:25 -0700"; the day may be one digit,
// with or without a space before it.
func parseDateTime(s []byte, zone func(offset int) *time.Location) (time.Time, bool) {
	s = bytes.TrimLeft(s, " ")
	if len(s) > 1 && s[1] == '-' {
		s = append([]byte{'0'}, s...)
	}
	if len(s) != 26 || s[2] != '-' || s[6] != '-' || s[11] != ' ' || s[14] != ':' || s[17] != ':' || s[20] != ' ' {
		return time.Time{}, false
	}
	day, ok1 := digits(s[0:2])
	month, ok2 := monthOf(s[3:6])
	year, ok3 := digits(s[7:11])
	hour, ok4 := digits(s[12:14])
	minute, ok5 := digits(s[15:17])
	second, ok6 := digits(s[18:20])
	offset, ok7 := zoneOffset(s[21:26])
	valid := ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7
	if !valid || day == 0 || day > 31 || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, false
	}
	return time.Date(year, month, day, hour, minute, second, 0, zone(offset)), true
}

func digits(s []byte) (int, bool) {
	n := 0
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

func monthOf(s []byte) (time.Month, bool) {
	for i, name := range monthNames {
		if bytes.EqualFold(s, []byte(name)) {
			return time.Month(i + 1), true
		}
	}
	return 0, false
}

func zoneOffset(s []byte) (int, bool) {
	hours, ok1 := digits(s[1:3])
	minutes, ok2 := digits(s[3:5])
	offset := hours*3600 + minutes*60
	if s[0] == '-' {
		offset = -offset
	}
	return offset, ok1 && ok2 && minutes < 60 && hours < 24 && (s[0] == '+' || s[0] == '-')
}

// FormatDateTime writes an INTERNALDATE without its quotes. Seconds east of
// UTC that are no whole minute are rounded away.
func FormatDateTime(t time.Time) string {
	_, offset := t.Zone()
	return t.In(time.FixedZone("", offset/60*60)).Format("_2-Jan-2006 15:04:05 -0700")
}

// FormatDate writes a search date (RFC 9051 §9, date-text).
func FormatDate(t time.Time) string { return t.Format("2-Jan-2006") }
