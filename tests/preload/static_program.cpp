// Does nothing. How it is linked is what matters: statically, so that nothing can be preloaded into
// it, or with the runtime of a sanitizer.
int main() { return 0; }
