"""A Kubernetes to prove promises on: one that exists, kind, minikube, or a node of our own."""
