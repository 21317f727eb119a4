package admin

import (
	"net/http"

	"github.com/miq/pixel/modules/httpserver"
)

// wayOut is what somebody can do about a problem: a sentence, and where.
type wayOut struct {
	Text, Link, Label string
}

// waysOut are by a problem's code; where it has none there, by its status.
var (
	waysOut = map[string]wayOut{
		"forbidden":         {"Somebody with that role can do it, or give you the role.", "/account", "Who am I?"},
		"scope":             {"Make a token that may do this, and use it instead.", "/account", "Who am I?"},
		"cross_origin":      {"If you meant to do this, do it from the console itself.", "/", "To the overview"},
		"unknown_pixel":     {"It may have been deleted, or its id is spelt otherwise.", "/pixels", "All pixels"},
		"unknown_route":     {"It may have been taken out of its pixel meanwhile.", "/pixels", "All pixels"},
		"unknown_partner":   {"The partners that there are stand in the list.", "/partners", "All partners"},
		"unknown_queue":     {"The queues that there are stand in the list.", "/queues", "All queues"},
		"unknown_event":     {"It may not be stored yet, was not accepted, or has been erased. Search for the order or the visitor instead.", "/events", "Search the events"},
		"unknown_backfill":  {"The last ones stand in the list.", "/backfills", "All backfills"},
		"unknown_user":      {"Whoever has an account stands in the list.", "/people", "People"},
		"unknown_token":     {"It may have ended, or somebody took it away.", "/people", "People"},
		"last_admin":        {"Make somebody else an administrator first.", "/people", "People"},
		"taken":             {"Go back and choose another one.", "/", "To the overview"},
		"conflict":          {"Somebody else changed it meanwhile. Load the page again, look at what is there now, and make your change once more.", "/", "To the overview"},
		"invalid_parameter": {"The address holds something that this page does not know. Begin from its menu again.", "/reports", "Reports"},
		"too_slow":          {"Ask for a shorter time or fewer conditions. If all pages are slow, look at what is busy.", "/processes", "Processes"},
		"too_large":         {"Send less at once.", "/", "To the overview"},
	}
	waysOutByStatus = map[int]wayOut{
		http.StatusUnauthorized:       {"Sign in again.", "/login", "Sign in"},
		http.StatusForbidden:          {"Somebody who may do it can do it for you.", "/account", "Who am I?"},
		http.StatusNotFound:           {"The address may be old. What you look for can be searched.", "/events", "Search the events"},
		http.StatusConflict:           {"Load the page again and look at what is there now.", "/", "To the overview"},
		http.StatusTooManyRequests:    {"Wait a minute, then try again.", "/", "To the overview"},
		http.StatusServiceUnavailable: {"A store does not answer, or is busy. Events are still accepted; look at what works.", "/processes", "Processes"},
	}
)

// wayOutOf finds what to do about a problem; there always is something.
func wayOutOf(p *httpserver.Problem) wayOut {
	if r, ok := waysOut[p.Code]; ok {
		return r
	}
	if r, ok := waysOutByStatus[p.Status]; ok {
		return r
	}
	if p.Status >= http.StatusInternalServerError {
		return wayOut{"Try again. If it stays so, the log of the process with the console says why, and the processes' page which part does not work.", "/processes", "Processes"}
	}
	return wayOut{"Go back, mend what is named here, and try again.", "/", "To the overview"}
}
