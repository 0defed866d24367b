package demo

import "time"

// mailbox is one of the demo's.
type mailbox struct{ Address, Name string }

func mailboxes() []mailbox {
	return []mailbox{
		{"alice@postbox.example", "Alice Adams"},
		{"bob@postbox.example", "Bob Brown"},
	}
}

func findMailbox(address string) (mailbox, bool) {
	for _, box := range mailboxes() {
		if box.Address == address {
			return box, true
		}
	}
	return mailbox{}, false
}

// message is what a mailbox holds. Its date follows the clock, so that the inbox
// always looks as if it was in use.
type message struct {
	ID      string `json:"id"`
	From    string `json:"from"`
	Subject string `json:"subject"`
	Snippet string `json:"snippet"`
	Date    string `json:"date"` // RFC 3339, UTC
	age     time.Duration
}

// messagesOf returns the messages of a mailbox, newest first. No mailbox holds a
// word of the other's owner, so that a look at an answer shows whose it is.
func messagesOf(address string) []message {
	const hour, day = time.Hour, 24 * time.Hour
	if address == "alice@postbox.example" {
		return []message{
			{ID: "a7", From: "Night Owl Bakery <orders@nightowl.example>", Subject: "Your sourdough is in the oven", Snippet: "Hi Alice, loaf no. 4711 comes out at six. Bring a bag: it is bigger than last time.", age: 25 * time.Minute},
			{ID: "a6", From: "Carol Chen <carol@orbit.example>", Subject: "Launch review moved to Thursday", Snippet: "The parachute test slipped a day. New slides are in the folder, page 12 is the one to argue about.", age: 3 * hour},
			{ID: "a5", From: "City Library <desk@library.example>", Subject: "Reserved for you: The Left Hand of Darkness", Snippet: "Your book waits at desk 2 for seven days.", age: 9 * hour},
			{ID: "a4", From: "Dan Diaz <dan@orbit.example>", Subject: "Re: Who broke the telescope?", Snippet: "Nobody broke it. The lens cap was on. I would rather not say who left it there.", age: 1*day + 4*hour},
			{ID: "a3", From: "Rail Europe <tickets@rail.example>", Subject: "Ticket: Berlin to Vienna, window seat", Snippet: "Coach 7, seat 41. Breakfast is served from Prague on.", age: 2 * day},
			{ID: "a2", From: "Orbit Payroll <payroll@orbit.example>", Subject: "Invoice 2041 was paid", Snippet: "The amount of 1,280.00 EUR is on its way to your account.", age: 4 * day},
			{ID: "a1", From: "Postbox <hello@postbox.example>", Subject: "Welcome to Postbox, Alice", Snippet: "This mailbox is made up, and so is everybody who writes to you.", age: 30 * day},
		}
	}
	if address == "bob@postbox.example" {
		return []message{
			{ID: "b6", From: "Erin Evans <erin@kayak.example>", Subject: "Saturday: river is high, helmets on", Snippet: "Bob, the gauge says 1.9 m. We start at nine at the old mill, bring dry socks.", age: 40 * time.Minute},
			{ID: "b5", From: "Green Thumb <shop@greenthumb.example>", Subject: "Your chili seeds have shipped", Snippet: "Three packets, from friendly to foolish. Label the pots this time.", age: 5 * hour},
			{ID: "b4", From: "Frank Fischer <frank@workshop.example>", Subject: "Invoice for the guitar repair", Snippet: "New frets, one crack glued, 240.00 EUR. It sings again.", age: 1*day + 2*hour},
			{ID: "b3", From: "Grace Green <grace@quiz.example>", Subject: "Pub quiz: we need a geographer", Snippet: "Last week we lost on capitals. You once said you know all of them.", age: 3 * day},
			{ID: "b2", From: "Weather Desk <alerts@weather.example>", Subject: "First frost on Tuesday night", Snippet: "Minus two degrees in the valley. Take the lemons inside.", age: 5 * day},
			{ID: "b1", From: "Postbox <hello@postbox.example>", Subject: "Welcome to Postbox, Bob", Snippet: "This mailbox is made up, and so is everybody who writes to you.", age: 30 * day},
		}
	}
	return nil
}
