package access

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

const (
	scheme = "bearer"
	// protocolHeader carries a browser's token, which cannot set Authorization.
	protocolHeader = "Sec-Websocket-Protocol"
	protocolPrefix = "bearer."
)

// Door lets in who has a token and may do what is asked.
type Door struct {
	file    *File
	table   *http.ServeMux
	refused func(reason string)
}

// NewDoor makes a door for the tokens of a file; a nil file lets everybody in.
// refused is told the reason of every refusal.
func NewDoor(file *File, refused func(reason string)) *Door {
	return &Door{file: file, table: newTable(), refused: refused}
}

// Handler serves next for those who may. It takes the token out of the WebSocket's
// subprotocols, so that no answer repeats it.
func (d *Door) Handler(next http.Handler) http.Handler {
	if d.file == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, refusal := d.admit(r)
		if refusal != nil {
			d.refused(refusal.reason)
			refusal.write(w, r)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	})
}

func (d *Door) admit(r *http.Request) (caller, *refusal) {
	token, refusal := bearer(r)
	if refusal != nil {
		return caller{}, refusal
	}
	c, ok := d.file.find(token)
	if !ok {
		return caller{}, unauthenticated(reasonUnknown, `Bearer error="invalid_token"`, "the token is not one that this service knows")
	}
	rule := find(d.table, r)
	if !rule.allows(c.role) {
		return caller{}, denied(reasonRole, fmt.Sprintf("role %s may %s, not call %s %.200s: that is for %s",
			c.role, may[c.role], r.Method, r.URL.Path, rule.who()))
	}
	if rule.own != "" {
		if err := c.owns(r.URL.Query().Get(rule.own)); err != nil {
			return caller{}, denied(reasonNotOwn, err.Error())
		}
	}
	return c, nil
}

// bearer reads the token; the Authorization header comes before a subprotocol.
func bearer(r *http.Request) (string, *refusal) {
	offered := subprotocolToken(r.Header)
	switch values := r.Header.Values("Authorization"); {
	case len(values) == 0 && offered != "":
		return offered, nil
	case len(values) == 0:
		return "", unauthenticated(reasonMissing, "Bearer",
			"no token: send the header \"Authorization: Bearer TOKEN\", or from a browser's WebSocket the subprotocol bearer.TOKEN")
	default:
		kind, token, _ := strings.Cut(values[0], " ")
		if len(values) > 1 || !strings.EqualFold(kind, scheme) || len(token) > tokenMax || !tokenForm.MatchString(token) {
			return "", unauthenticated(reasonMalformed, `Bearer error="invalid_request"`,
				"the Authorization header is not one \"Bearer TOKEN\"")
		}
		return token, nil
	}
}

// subprotocolToken takes bearer.TOKEN out of the offered subprotocols.
func subprotocolToken(h http.Header) string {
	values := h.Values(protocolHeader)
	if len(values) == 0 {
		return ""
	}
	token := ""
	var rest []string
	for p := range strings.SplitSeq(strings.Join(values, ","), ",") {
		p = strings.TrimSpace(p)
		if t, ok := strings.CutPrefix(p, protocolPrefix); ok {
			token = t
		} else if p != "" {
			rest = append(rest, p)
		}
	}
	if len(rest) == 0 {
		h.Del(protocolHeader)
	} else {
		h.Set(protocolHeader, strings.Join(rest, ", "))
	}
	return token
}
