package main

import (
	"fmt"
	"strings"
)

// The bodies here are those of ../wrk/events.lua.

const userAgent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36"

// hole is where an event's number goes.
const hole = "ZZZZZZZZZZZZ"

func id(run uint64) string {
	return fmt.Sprintf("0193%04x-%04x-7%03x-8%03x-%s", run>>32&0xffff, run>>16&0xffff, run>>4&0xfff, run&0xfff, hole)
}

func query(run uint64, page int) string {
	return fmt.Sprintf("?pid=px_demo&e=page_view&eid=%s&u=https%%3A%%2F%%2Fshop.example.com%%2Fshoes%%2Fitem-%d&r=https%%3A%%2F%%2Fwww.google.com%%2F&gdpr=0&us_privacy=1YNN&p.color=blue", id(run), page)
}

func body(run uint64, p, batch int) string {
	anon := fmt.Sprintf("7d1f2c3b-9a4e-4c58-b6d7-%012x", p)
	page := fmt.Sprintf(`{"url":"https://shop.example.com/shoes/item-%d?utm_source=google&utm_campaign=spring","referrer":"https://www.google.com/","title":"Running shoe %d | Shop"}`, p, p)
	props := fmt.Sprintf(`{"value":99.5,"currency":"GBP","items":[{"item_id":"SKU%d","item_name":"Running shoe","price":99.5,"quantity":1}]}`, p)
	const now = "2026-11-22T10:00:00.000Z"
	events := make([]string, batch)
	for i := range events {
		events[i] = fmt.Sprintf(`{"id":"%s","name":"view_item","time":"%s","properties":%s}`, id(run), now, props)
	}
	return `{"pixel_id":"px_demo","sent_at":"` + now + `","consent":{"gdpr_applies":false,"us_privacy":"1YNN","state":"full"},"identity":{"anonymous_id":"` + anon +
		`"},"context":{"page":` + page + `,"locale":"en-GB","timezone":"Europe/London","screen":{"width":1920,"height":1080},"sdk":{"name":"web","version":"1.0.0"}},"events":[` + strings.Join(events, ",") + `]}`
}
