// Package manifests turns upstream YAML into objects and creates them in a
// cluster. It leaves out everything that needs a webhook, because none runs.
package manifests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Collect reads all manifests below dir that match the patterns and returns
// them as one JSON array, in the order of the patterns. JSON loads many times
// faster than the megabytes of YAML that custom resource definitions are.
func Collect(dir string, globs []string) ([]byte, error) {
	var objects []*unstructured.Unstructured
	for _, glob := range globs {
		files, err := filepath.Glob(filepath.Join(dir, glob))
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("no file matches %s", glob)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			found, err := Parse(text)
			if err != nil {
				return nil, fmt.Errorf("reading %s: %w", file, err)
			}
			objects = append(objects, found...)
		}
	}
	for _, object := range objects {
		withoutConversionWebhook(object)
	}
	return json.Marshal(objects)
}

// Parse returns the objects of a YAML stream.
func Parse(text []byte) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	var objects []*unstructured.Unstructured
	for {
		content := map[string]any{}
		err := decoder.Decode(&content)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(content) > 0 {
			objects = append(objects, &unstructured.Unstructured{Object: content})
		}
	}
}

// Load returns the objects that Collect has collected.
func Load(file string) ([]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	return objects, json.Unmarshal(text, &objects)
}

// withoutConversionWebhook removes the conversion stanza of a custom resource
// definition. Only the stored versions are used, so none is ever converted.
func withoutConversionWebhook(object *unstructured.Unstructured) {
	if object.GetKind() == "CustomResourceDefinition" {
		unstructured.RemoveNestedField(object.Object, "spec", "conversion")
	}
}
