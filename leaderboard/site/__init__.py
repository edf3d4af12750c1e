"""Any number of matrices as a folder of static pages: no server, no request elsewhere, nothing in it is trusted."""
