// Package web renders the pages that people see: consent, login, connect,
// account and messages. It owns templates, the stylesheet and the security
// headers of pages; it decides nothing and knows no protocol.
package web

import "time"

// Site is what all pages of one endpoint share.
type Site struct {
	// Name of the server, shown on top of each page.
	Name string
	// Path of the endpoint, such as /mcp: stylesheet and forms live below it.
	Path string
}

// Consent asks whether a client may act for a person.
type Consent struct {
	ClientName string
	// RedirectHost is where the code goes, such as claude.ai or localhost, or
	// the scheme of a private-use redirect such as "cursor:".
	RedirectHost string
	// ThisComputer says that the code goes to a program on the person's own
	// computer (loopback redirect), PrivateScheme to an app by its own scheme.
	ThisComputer  bool
	PrivateScheme bool
	// UserCode is what the device shows that access goes to, where it goes to no
	// address: all of the three above are empty then.
	UserCode string
	// Verified says that the client's identity was checked.
	Verified bool
	// ClientHost is what a verified client was verified as: the host of its
	// metadata document. Its name is still its own choice. Optional.
	ClientHost string
	// UserName is who is logged in; empty: a login with LoginTitle follows.
	UserName   string
	LoginTitle string
	// Permissions are what the client may do, in words.
	Permissions []string
	Form        Form
}

// Device asks for the code that another device shows.
type Device struct {
	Code  string // filled in, for the person to compare
	Error string // why the last one was none
	Form  Form
}

// Choice asks by which of several ways a person logs in.
type Choice struct {
	ClientName string // who the login is for; empty: this server's own pages
	Ways       []Way
	Form       Form
}

// Way is one way to log in.
type Way struct {
	Title string
	URL   string
}

// Login asks for a name and a password.
type Login struct {
	ClientName string // who the login is for; empty: this server's own pages
	UserName   string // filled in
	Error      string // why the last try failed
	OtherWays  string // path to a [Choice]; empty: there is none
	Form       Form
}

// Wait leads to a login in another tab and waits for it.
type Wait struct {
	ClientName string // who the login is for; empty: this server's own pages
	LoginTitle string // what the person logs in with
	LoginURL   string // opens in another tab
	Next       string // path that is asked at once for the end of the login
	OtherWays  string // path to a [Choice]; empty: there is none
}

// Connect asks whether the server may act for a person at a provider.
type Connect struct {
	ProviderTitle string
	ProviderHost  string // where the browser goes next
	UserName      string // who is logged in here
	Scopes        []string
	// Missing are the scopes that an existing connection lacks.
	Missing []string
	// Connected says that there is a connection already, which is replaced.
	Connected bool
	Form      Form
}

// Account lists what a person connected.
type Account struct {
	UserName    string
	Email       string
	Connections []Connection
	Form        Form // its buttons are disconnect (see EncodeConnection); its token serves logout too
}

// Connection is one provider on the account page.
type Connection struct {
	Provider, Label string
	ID              string // in place of Label for whoever disconnects; optional
	Title           string
	Account         string
	Scopes          []string
	Since           time.Time // zero: not connected
	Dead            bool      // must be connected again
	// Agents is to how many agents the person gave it too; AgentsID, in place of
	// ID, takes it back from all of them.
	Agents   int
	AgentsID string
}

// Message says what happened: an error or a success, at the end of a way.
type Message struct {
	Status int // HTTP status
	Title  string
	Text   []string // paragraphs
	OK     bool     // a success
	// Form offers one way on, such as another account. Optional.
	Form  *Form
	Label string // of its button
}

// Form is where a page's form goes.
type Form struct {
	// Action is the path that the form posts to.
	Action string
	// Token is the sealed state that the form carries; it is the anti-forgery
	// value as well.
	Token string
	// Targets are the further places that the answer to the form may redirect
	// to, as CSP source expressions such as http://localhost:1234, https: or
	// cursor:. Browsers apply form-action to redirects.
	Targets []string
}
