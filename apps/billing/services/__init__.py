"""Make invoices and their evidence."""
