package runbook

// NoticeInput is a message to people.
type NoticeInput struct {
	Notify NotifyPolicy `json:"notify"`
	// Key makes sending idempotent per run and reason.
	Key   string `json:"key"`
	Title string `json:"title"`
	Body  string `json:"body"`
	// Link opens the run.
	Link string `json:"link,omitempty"`
}

// NoticeOutput says where it arrived; Failed names the schemes (never the URLs)
// that did not take it.
type NoticeOutput struct {
	Delivered []string `json:"delivered"`
	Failed    []string `json:"failed,omitempty"`
}

// SendNotice sends the message to every sink of the policy; the file sink always.
var SendNotice = Step[NoticeInput, NoticeOutput]{
	Name: "notices.Send", Effect: Irreversible, Attempts: 5, Summary: func(in NoticeInput) string { return "tell: " + in.Title },
}
