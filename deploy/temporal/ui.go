package main

import (
	"context"
	"fmt"
	"html/template"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/labstack/echo/v4"
	"github.com/leanvibe/hive/deploy/temporal/authorizer"
	uiserver "github.com/temporalio/ui-server/v2/server"
	"github.com/temporalio/ui-server/v2/server/api"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"
	"google.golang.org/grpc/metadata"
)

// bannerPath is where our own strip is served; the user interface shows it in a frame at the top of every page.
const bannerPath = "/hive/banner"

// newUI builds the official user interface on an inner port. What it forwards to the server carries this process's
// proof, so that events say "a person in the browser".
func newUI(s *settings, innerPort int, principals *authorizer.Principals) *uiserver.Server {
	proof := func(echo.Context) runtime.ServeMuxOption {
		return runtime.WithMetadata(func(context.Context, *http.Request) metadata.MD { return principals.Proof(authorizer.UI) })
	}
	return uiserver.NewServer(
		uioptions.WithConfigProvider(&uiconfig.Config{
			Host: s.bind, Port: innerPort, TemporalGRPCAddress: s.address(s.port),
			EnableUI: true, DefaultNamespace: s.namespace, DisableNewsFetch: true, HideLogs: true,
			CORS:     uiconfig.CORS{CookieInsecure: true},
			CustomUI: bannerExtension(s.banner),
		}),
		uioptions.WithAPIMiddleware([]api.Middleware{proof}),
	)
}

func bannerExtension(text string) uiconfig.CustomUI {
	if text == "" {
		return uiconfig.CustomUI{}
	}
	const height = 32
	return uiconfig.CustomUI{Enabled: true, IframeExtensions: []uiconfig.IframeExtension{{
		ID: "environment", Title: text, Slot: "app.top-nav.sub-nav", Src: bannerPath, AllowedOrigin: "self",
		Sizing: uiconfig.IframeExtensionSizing{DefaultHeight: height, MinHeight: height, MaxHeight: height},
	}}}
}

var bannerPage = template.Must(template.New("banner").Parse(`<!doctype html><html lang="en"><meta charset="utf-8"><title>{{.}}</title>
<style>html,body{margin:0;height:100%}body{background:#b42318;color:#fff;font:600 14px/32px system-ui,sans-serif;text-align:center}</style>
<body>{{.}}</body></html>
`))

// serveBanner answers with the strip that names the environment.
func serveBanner(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'")
		if err := bannerPage.Execute(w, text); err != nil {
			http.Error(w, fmt.Sprintf("banner: %v", err), http.StatusInternalServerError)
		}
	}
}
