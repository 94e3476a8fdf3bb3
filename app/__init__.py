"""The GastroMAP application: a MONAI Deploy application that stages one CT study."""
