package web

import (
	"net/url"
	"strings"
)

// EncodeConnection writes the value of a disconnect button. Label may be empty.
func EncodeConnection(provider, label string) string {
	return url.QueryEscape(provider) + "&" + url.QueryEscape(label)
}

// ParseConnection reads what [EncodeConnection] wrote.
func ParseConnection(value string) (provider, label string, ok bool) {
	provider, label, ok = strings.Cut(value, "&")
	if !ok || strings.Contains(label, "&") {
		return "", "", false
	}
	provider, err := url.QueryUnescape(provider)
	if err != nil || provider == "" {
		return "", "", false
	}
	if label, err = url.QueryUnescape(label); err != nil {
		return "", "", false
	}
	return provider, label, true
}
