package alertmanager

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// callMax bounds one call, below the steps' own timeout.
	callMax = 4 * time.Second
	bodyMax = 8 << 20
)

// client is of its own, so that nobody else's settings reach it.
var client = &http.Client{Timeout: callMax}

// call calls the API (version 2) and reads its answer into out, where given.
func call(ctx context.Context, address, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return runbook.FailCause(runbook.Refused, err, "Alertmanager cannot be asked")
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, address+"/api/v2"+path, body)
	if err != nil {
		return runbook.Fail(runbook.Refused, "%q is not the URL of an Alertmanager", address)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return classify(err, address)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, bodyMax))
	if err != nil {
		return classify(err, address)
	}
	if res.StatusCode != http.StatusOK {
		return refusal(res.StatusCode, raw, address)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return runbook.FailCause(runbook.Corrupt, err, "what answers at %s is no Alertmanager", address)
	}
	return nil
}

// refusal words an answer that is not 200.
func refusal(status int, body []byte, address string) error {
	const most = 200
	text := strings.Trim(strings.TrimSpace(string(body)), `"`)
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return runbook.Fail(kindOf(status), "Alertmanager at %s answers %d: %s", address, status, text)
}
