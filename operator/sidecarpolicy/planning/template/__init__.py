"""What happens to a template: template, policies and the record of earlier work in; template, record and notes out."""
