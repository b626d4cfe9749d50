package components

import "testing"

func TestParseSet(t *testing.T) {
	set, err := ParseSet("etcd, apiserver")
	if err != nil || !set.Has(APIServer) || set.Has(Tekton) {
		t.Errorf("got %v, %v", set, err)
	}
	for _, list := range []string{"", "etcd,kubelet", "apiserver", "etcd,apiserver,shipwright"} {
		if set, err := ParseSet(list); err == nil {
			t.Errorf("%q is accepted as %v", list, set)
		}
	}
}
