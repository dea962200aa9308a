"""What no text may show: values of sensitive columns, in every form that a message gives them."""
