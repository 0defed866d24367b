package browser

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Form is a form of a page with its fields as the page filled them in.
type Form struct {
	action   *url.URL
	method   string
	values   url.Values
	name     string   // of the field for the person's name
	password string   // of the field for the password
	choices  []choice // radio buttons and options
	buttons  []button // in order
	field    string   // last field for text seen, which precedes the password
}

// choice is one radio button or option.
type choice struct{ field, value, label string }

type button struct{ name, value, label string }

func parseForm(page *url.URL, n *html.Node) (*Form, error) {
	action, err := page.Parse(attribute(n, "action"))
	if err != nil {
		return nil, fmt.Errorf("form with a malformed action: %w", err)
	}
	f := &Form{action: action, method: http.MethodGet, values: make(url.Values)}
	if strings.EqualFold(attribute(n, "method"), "post") {
		f.method = http.MethodPost
	}
	for c := range n.Descendants() {
		switch c.DataAtom {
		case atom.Input:
			f.input(c)
		case atom.Button:
			if kind := attribute(c, "type"); kind == "" || kind == "submit" {
				f.buttons = append(f.buttons, button{attribute(c, "name"), attribute(c, "value"), text(c)})
			}
		case atom.Option:
			f.option(c)
		case atom.Textarea:
			f.values.Set(attribute(c, "name"), text(c))
		}
	}
	return f, nil
}

func (f *Form) input(n *html.Node) {
	name, value := attribute(n, "name"), attribute(n, "value")
	switch kind := strings.ToLower(attribute(n, "type")); kind {
	case "submit":
		f.buttons = append(f.buttons, button{name, value, value})
	case "radio":
		f.choices = append(f.choices, choice{name, value, label(n)})
		if has(n, "checked") {
			f.values.Set(name, value)
		}
	case "checkbox":
		if has(n, "checked") {
			f.values.Add(name, value)
		}
	case "password":
		f.password, f.name = name, f.field
	case "hidden":
		f.values.Add(name, value)
	case "", "text", "email":
		f.field = name
		f.values.Set(name, value)
	}
}

func (f *Form) option(n *html.Node) {
	for up := range n.Ancestors() {
		if up.DataAtom != atom.Select {
			continue
		}
		name, value := attribute(up, "name"), attribute(n, "value")
		if !has(n, "value") {
			value = text(n)
		}
		f.choices = append(f.choices, choice{name, value, text(n)})
		if !f.values.Has(name) || has(n, "selected") {
			f.values.Set(name, value)
		}
		return
	}
}

// fill enters what the form asks the person for and reports whether it asks
// anything that the person came for: a password, a mailbox, a
// code of a device or a decision. Forms
// for something else, such as logging out, are left alone.
func (f *Form) fill(person Person, decision string) (bool, error) {
	asked := false
	if f.password != "" {
		f.values.Set(f.name, person.Name)
		f.values.Set(f.password, person.Password)
		asked = true
	}
	if len(f.choices) > 0 {
		i := slices.IndexFunc(f.choices, func(c choice) bool {
			return strings.Contains(strings.ToLower(c.value+" "+c.label), strings.ToLower(person.Name))
		})
		if i < 0 {
			return false, fmt.Errorf("none of the choices %v is for %s", f.choices, person.Name)
		}
		f.values.Set(f.choices[i].field, f.choices[i].value)
		asked = true
	}
	if f.field == "user_code" && f.values.Get(f.field) != "" { // which the person has compared
		asked = true
	}
	i := slices.IndexFunc(f.buttons, func(b button) bool { return b.name == "decision" && b.value == decision })
	if i < 0 && asked && len(f.buttons) > 0 {
		i = 0
	}
	if i < 0 {
		return false, nil
	}
	if b := f.buttons[i]; b.name != "" {
		f.values.Set(b.name, b.value)
	}
	return true, nil
}

// label is the text beside a radio button: that of the label around it, or of
// what holds it.
func label(n *html.Node) string {
	for up := range n.Ancestors() {
		if up.DataAtom == atom.Label {
			return text(up)
		}
		if id := attribute(n, "id"); id != "" && up.DataAtom == atom.Form {
			for c := range up.Descendants() {
				if c.DataAtom == atom.Label && attribute(c, "for") == id {
					return text(c)
				}
			}
		}
	}
	return ""
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, key string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key })
}
