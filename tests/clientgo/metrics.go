package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/rest"
)

// shared are the metrics of kube-apiserver that the server has too. Both have
// samples of them wherever agents run.
var shared = []string{
	"apiserver_client_certificate_expiration_seconds",
	"apiserver_current_inflight_requests",
	"apiserver_longrunning_requests",
	"apiserver_request_duration_seconds",
	"apiserver_request_sli_duration_seconds",
	"apiserver_request_total",
	"apiserver_resource_objects",
	"apiserver_response_sizes",
	"apiserver_tls_handshake_errors_total",
	"apiserver_watch_cache_events_dispatched_total",
	"apiserver_watch_cache_initializations_total",
	"apiserver_watch_events_sizes",
	"apiserver_watch_events_total",
	"authentication_attempts",
	"authentication_duration_seconds",
	"authorization_attempts_total",
	"authorization_duration_seconds",
	"process_cpu_seconds_total",
	"process_max_fds",
	"process_open_fds",
	"process_resident_memory_bytes",
	"process_start_time_seconds",
	"process_virtual_memory_bytes",
	"watch_cache_capacity",
}

// shape is what queries depend on.
type shape struct {
	kind   dto.MetricType
	labels []string
	bounds []float64
}

var (
	byCode  = []string{"code"}
	ofCalls = []float64{0.25, 0.5, 0.7, 1, 1.5, 3, 5, 10, math.Inf(1)}
)

// delegated are those that servers behind kube-apiserver have and it has not.
var delegated = map[string]shape{
	"apiserver_delegated_authn_request_duration_seconds": {dto.MetricType_HISTOGRAM, byCode, ofCalls},
	"apiserver_delegated_authn_request_total":            {dto.MetricType_COUNTER, byCode, nil},
	"apiserver_delegated_authz_request_duration_seconds": {dto.MetricType_HISTOGRAM, byCode, ofCalls},
	"apiserver_delegated_authz_request_total":            {dto.MetricType_COUNTER, byCode, nil},
}

// readMetrics scrapes the server as Prometheus does, and compares with what
// kube-apiserver tells of itself, and what servers behind it do.
func readMetrics(ctx context.Context, s scenario) error {
	server, err := configOf(s.serverKubeconfig)
	if err != nil {
		return err
	}
	found, err := scrape(ctx, server)
	if err != nil {
		return fmt.Errorf("the server: %w", err)
	}
	upstream, err := scrape(ctx, s.config)
	if err != nil {
		return fmt.Errorf("kube-apiserver: %w", err)
	}
	expected := maps.Clone(delegated)
	for _, name := range shared {
		if upstream[name] == nil {
			return fmt.Errorf("kube-apiserver has no %s", name)
		}
		expected[name] = shapeOf(upstream[name])
	}
	// The format has no word for a counter whose name does not end in _total.
	attempts := expected["authentication_attempts"]
	attempts.kind = dto.MetricType_UNTYPED
	expected["authentication_attempts"] = attempts
	return compare(expected, found)
}

func compare(expected map[string]shape, found map[string]*dto.MetricFamily) error {
	var differences []error
	for name, want := range expected {
		if found[name] == nil {
			differences = append(differences, fmt.Errorf("there is no %s", name))
			continue
		}
		if got := shapeOf(found[name]); !got.equals(want) {
			differences = append(differences, fmt.Errorf("%s is %v, and upstream's is %v", name, got, want))
		}
	}
	return errors.Join(differences...)
}

// scrape reads the metrics with the parser of Prometheus' own tools.
func scrape(ctx context.Context, config *rest.Config) (map[string]*dto.MetricFamily, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the scrape was answered %s", response.Status)
	}
	if format := expfmt.ResponseFormat(response.Header); format.FormatType() != expfmt.TypeTextPlain {
		return nil, fmt.Errorf("the scrape is %q", response.Header.Get("Content-Type"))
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	return parser.TextToMetricFamilies(response.Body)
}

func shapeOf(family *dto.MetricFamily) shape {
	found := shape{kind: family.GetType()}
	for _, metric := range family.GetMetric() {
		for _, label := range metric.GetLabel() {
			found.labels = append(found.labels, label.GetName())
		}
	}
	slices.Sort(found.labels)
	found.labels = slices.Compact(found.labels)
	for _, bucket := range family.GetMetric()[0].GetHistogram().GetBucket() {
		found.bounds = append(found.bounds, bucket.GetUpperBound())
	}
	return found
}

func (s shape) equals(other shape) bool {
	return s.kind == other.kind && slices.Equal(s.labels, other.labels) && slices.Equal(s.bounds, other.bounds)
}
