package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOnlyLoopbackNamesAreAnswered(t *testing.T) {
	s := defaults()
	front := newFront(s, 1, func(context.Context) error { return nil })
	for host, want := range map[string]int{
		"127.0.0.1:8233": http.StatusOK, "localhost:8233": http.StatusOK, "[::1]:8233": http.StatusOK, "localhost": http.StatusOK,
		"evil.example:8233": http.StatusMisdirectedRequest, "192.0.2.7:8233": http.StatusMisdirectedRequest, "": http.StatusMisdirectedRequest,
	} {
		request := httptest.NewRequest(http.MethodGet, "/healthz", nil)
		request.Host = host
		answer := httptest.NewRecorder()
		front.Handler.ServeHTTP(answer, request)
		require.Equal(t, want, answer.Code, "host %q", host)
	}
}

func TestHealthNamesWhatIsDown(t *testing.T) {
	front := newFront(defaults(), 1, func(context.Context) error { return errors.New("database is locked") })
	request := httptest.NewRequest(http.MethodGet, "/healthz", nil)
	request.Host = "localhost"
	answer := httptest.NewRecorder()
	front.Handler.ServeHTTP(answer, request)
	require.Equal(t, http.StatusServiceUnavailable, answer.Code)
	require.Contains(t, answer.Body.String(), "database is locked")
}

func TestBannerSaysTheEnvironmentAndEscapesIt(t *testing.T) {
	answer := httptest.NewRecorder()
	serveBanner("TEST <b>&</b>")(answer, httptest.NewRequest(http.MethodGet, bannerPath, nil))
	require.Contains(t, answer.Body.String(), "TEST &lt;b&gt;&amp;&lt;/b&gt;")
}
